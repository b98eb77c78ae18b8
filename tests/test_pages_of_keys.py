"""Every key that a file may have, and every column of a table, is told."""

import inspect
import re

import pages
import pytest

from tf_cosearch import accelerators, commands, metrics
from tf_cosearch.accelerators import presets
from tf_cosearch.designs import report
from tf_cosearch.networks import blocks, stage_values
from tf_cosearch.networks.spaces.template import Template
from tf_cosearch.search import algorithms, hardware

CONFIGS = "configs/README.md"
IN_ORDER = ("edge_tpu", "systolic", "ethos_u", "ethos_u85")
"""Families, as the page says them."""


def rows(page, name, under=""):
    """Cells of the rows of a section whose first cell has a name alone."""
    text = pages.TEXT[page]
    if under:
        text = text.partition(f"\n{under}\n")[2]
        text = re.split(r"\n#", text)[0]
    found = re.findall(
        rf"^\| `{re.escape(name)}` \|(.*)\|$", text, re.MULTILINE
    )
    return [[cell.strip() for cell in row.split(" | ")] for row in found]


def shipped_blocks():
    return [
        name
        for name in blocks.names()
        if blocks.get(name).__module__.startswith("tf_cosearch.")
    ]


def test_every_key_of_a_space_is_there():
    named = set(re.findall(r"`([\w/]+)`", pages.TEXT[CONFIGS]))
    head = {"classifier_bits", "dropout"}
    options = {key for name in shipped_blocks() for key in blocks.options(name)}
    keys = {*Template.KEYS, *stage_values.STAGE_KEYS, *options, *head}
    keys |= {"accelerator", "block", "per", hardware.CHIPS, *presets.TEXTS}
    assert keys - named == set()


@pytest.mark.parametrize("key", [*stage_values._RANGES, *stage_values._BITS])
def test_ranges_are_those_that_are_held(key):
    if key in stage_values._RANGES:
        low, high, _ = stage_values._RANGES[key]
        allowed = f"{low:g} to {high:g}"
    else:
        allowed = ", ".join(map(str, stage_values._BITS[key]))
    told = rows(CONFIGS, key)
    assert told
    assert {cells[1] for cells in told} == {allowed}


@pytest.mark.parametrize("key", stage_values._WORDS)
def test_words_are_those_that_are_known(key):
    words = [str(word) for word in stage_values._WORDS[key]]
    words = [{"True": "true", "False": "false"}.get(w, w) for w in words]
    [cells] = [cells for cells in rows(CONFIGS, key) if len(cells) == 3]
    assert cells[1] == ", ".join(f"`{word}`" for word in words)


def test_every_block_is_there_with_its_options():
    bits = stage_values._BITS.keys()
    for name in shipped_blocks():
        [[_, told]] = [r for r in rows(CONFIGS, name) if len(r) == 2]
        if told == "the same, and `stride_at`":
            told = "".join(map(str, rows(CONFIGS, "inverted_residual")))
            told += "`stride_at`"
        options = blocks.options(name).keys() - bits
        assert {*re.findall(r"`(\w+)`", told)} >= options, name


def test_defaults_of_options_are_those_of_blocks():
    for name in shipped_blocks():
        for key, default in blocks.options(name).items():
            [told] = {cells[2] for cells in rows(CONFIGS, key) if cells[2:]}
            said = str(default).lower() if key == "skip" else str(default)
            if f"of `{name}`" in told or f"and `{name}`" in told:
                assert re.search(rf"; {said} of .*`{name}`", told), key
            else:
                assert told.split(";")[0].strip('`"') == said, (name, key)


def number(value):
    return f"{value:g}"


def allowed(parameter):
    if parameter.words:
        return "one of these"
    if parameter.values:
        return ", ".join(map(number, parameter.values))
    return f"{number(parameter.low)} to {number(parameter.high)}"


@pytest.mark.parametrize("family", IN_ORDER)
def test_every_parameter_of_an_accelerator_is_there(family):
    baseline = accelerators.to_paths(accelerators.from_paths({}, family))
    for path, parameter in accelerators.parameters(family).items():
        told = rows(CONFIGS, path, f"### `{family}`")
        told += rows(CONFIGS, path, "### Parameters of all families")
        [[_, unit, span, default, choices]] = told
        assert (unit, span) == (parameter.unit, allowed(parameter)), path
        value = float(baseline[path])
        said = number(value)
        listed = ", ".join(map(number, parameter.choices))
        if parameter.words:
            said = f"`{parameter.words[int(value)]}`"
            listed = ", ".join(f"`{word}`" for word in parameter.words)
        defaults = default.split(", ")
        place = IN_ORDER.index(family) if len(defaults) > 1 else 0
        assert defaults[place] == said, path
        spans = choices.split("; ")
        is_ethos = len(spans) > 1 and family.startswith("ethos")
        assert spans[is_ethos] == listed, path


def test_all_families_are_those_that_are_shipped():
    folder = pages.ROOT / "tf_cosearch/accelerators/families"
    shipped = [path.parent.name for path in folder.glob("*/__init__.py")]
    assert sorted(shipped) == sorted(IN_ORDER)


def test_every_column_of_trials_is_there_with_its_unit():
    told = pages.columns()
    columns = report.trial_columns(["latency_ms", "celsius"])
    columns = [re.sub("^(latency_ms|celsius)_", "x_", name) for name in columns]
    columns.remove("celsius")
    assert {*columns} == {name for name in told if "/" not in name}
    ours = [name for name in metrics.names() if name in told]
    assert ours
    assert {n: told[n] for n in ours} == {n: metrics.get(n).unit for n in ours}


def test_every_command_is_there():
    page = pages.TEXT["tools/README.md"]
    table = page.partition("| command | what it does |")[2].partition("\n\n")[0]
    assert sorted(re.findall(r"\[`(\w+)`\]\(#", table)) == commands.names()


def test_every_flag_of_a_search_is_there():
    """Of those of a supernet, one stands for all."""
    source = pages.ROOT / "tf_cosearch/commands/search.py"
    named = re.findall(
        r'(?:DEFINE_\w+|_positive)\(\s*"(\w+)"', source.read_text()
    )
    assert {"space", "latency_ms", "track"} <= {*named}
    page = pages.TEXT["tools/README.md"].partition("Flags by what")[2]
    told = re.findall(r"--(\w+)", page.partition("\n## ")[0])
    assert {*named} - {*told} - {"output_dir"} == set()


@pytest.mark.parametrize("command", commands.names())
def test_some_page_tells_every_flag(command):
    """Those of a supernet in a search are told as those of its training."""
    source = pages.ROOT / f"tf_cosearch/commands/{command}.py"
    defined = r'(?:DEFINE_\w+|_positive)\(\s*"(\w+)"'
    told = re.findall(r"--(\w+)", "\n".join(pages.TEXT.values()))
    assert {*re.findall(defined, source.read_text())} - {*told} == set()


def test_every_algorithm_is_there_with_its_options():
    page = pages.TEXT["tf_cosearch/search/README.md"]
    table = page.partition("| algorithm | option |")[2].partition("\n\n")[0]
    told = {}
    for row in table.splitlines()[2:]:
        names, options, defaults, _ = row.strip("| ").split(" | ")
        options = re.findall(r"`(\w+)`", options)
        parts = defaults.split(", ")
        for name in re.findall(r"`(\w+)`", names):
            told |= {(name, option): parts for option in options}
    ours = {}
    for name in algorithms.names():
        kind = algorithms.get(name)
        if not kind.__module__.startswith("tf_cosearch."):
            continue
        kinds = [kind, *[algorithms.get("reinforce")] * (name == "ppo")]
        for each in reversed(kinds):
            for option in inspect.signature(each).parameters.values():
                if option.kind is option.KEYWORD_ONLY:
                    ours[name, option.name] = option.default
    del ours["ppo", "baseline_decay"]  # it has none
    assert told.keys() == ours.keys()
    for key, default in ours.items():
        assert default is None or str(default) in told[key], key


@pytest.mark.parametrize("folder", ["cluster", "searches", "spaces"])
def test_every_file_is_there(folder):
    names = [path.name for path in (pages.ROOT / "configs" / folder).iterdir()]
    assert names
    for name in names:
        assert f"`{name.removesuffix('.yaml')}" in pages.TEXT[CONFIGS], name
