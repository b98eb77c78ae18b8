"""Opens report.html in Chromium, where that is installed."""

import time

import chromium
import pytest
import run_folders

from tf_cosearch.designs.page import run, writing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        chromium.PROGRAM is None, reason="Chromium is not installed."
    ),
]

SECONDS = 2.0
"""Processor time that a page of a thousand trials may take to open."""


def written(folder, *args, **kwargs):
    made = run_folders.make(folder, *args, **kwargs)
    writing.write(run.read(made), made / "report.html", advised=1)
    return made / "report.html"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A page of twelve trials: one failed, one runs, one is over budget."""
    path = written(tmp_path_factory.mktemp("run"), 12, [1], running=[2])
    with chromium.browser() as opened:
        opened.resize(1400, 1000)
        opened.open(path)
        yield opened
        assert opened.errors() == []
        assert opened.requests() == [f"file://{path}"]


def point(page, trial_id):
    """Where a trial is drawn."""
    return page.value(
        "(() => { const plot = document.getElementById('front');"
        "const trace = plot.data.find((each) => each.name === 'designs');"
        f"const at = trace.customdata.indexOf('{trial_id}');"
        "const box = plot.getBoundingClientRect();"
        "const { xaxis, yaxis } = plot._fullLayout;"
        "return [box.left + xaxis._offset + xaxis.c2p(trace.x[at]),"
        "box.top + yaxis._offset + yaxis.c2p(trace.y[at])]; })()"
    )


def text(page, selector):
    return page.value(f"document.querySelector({selector!r})?.textContent")


def rows(page):
    """Trials of the table from top to bottom."""
    return page.value(
        "[...document.querySelectorAll('#table tbody tr')]"
        ".map((row) => row.dataset.trial)"
    )


def until(ask, seconds=20):
    began = time.monotonic()
    while not ask():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)


def type_filter(page, told):
    page.value(
        "(() => { const box = document.getElementById('filter');"
        f"box.value = {told!r}; box.dispatchEvent(new Event('input')); }})()"
    )


def test_the_best_design_is_shown_first(page):
    assert text(page, "#details h2") == "Trial 10"
    assert text(page, "#details code").startswith("python tools/retrain.py")
    assert page.value("document.querySelectorAll('.plot svg').length") >= 3
    assert "stage1/block1/conv" in text(page, "#details")


def test_hovering_tells_of_a_design(page):
    page.mouse("mouseMoved", *point(page, "07"))
    until(lambda: "trial 07" in (text(page, "#front .hoverlayer") or ""))
    assert "accuracy int8 (%): 76.67" in text(page, "#front .hoverlayer")


def test_a_click_on_a_design_shows_it(page):
    place = point(page, "05")
    page.mouse("mouseMoved", *place)
    until(lambda: "trial 05" in (text(page, "#front .hoverlayer") or ""))
    page.mouse("mousePressed", *place)
    page.mouse("mouseReleased", *place)
    until(lambda: text(page, "#details h2") == "Trial 05")
    assert "trial=05" in page.value("location.hash")
    assert page.value(
        "document.querySelector('#table tr.selected').dataset.trial"
    ) == ("05")


def test_axes_are_chosen(page):
    page.value(
        "(() => { const box = document.getElementById('x');"
        "box.value = 'energy_mj'; box.dispatchEvent(new Event('change')); })()"
    )
    title = "document.querySelector('#front .xtitle').textContent"
    until(lambda: page.value(title) == "energy (µJ)")


def test_the_table_sorts(page):
    click = "document.querySelectorAll('#table th')[3].click()"  # reward
    page.value(click)
    assert rows(page)[:2] == ["11", "10"]
    assert rows(page)[-2:] == ["01", "02"]  # which have none
    page.value(click)
    assert rows(page)[0] == "00"


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("status=FAILED", ["01"]),
        ("latency_ms<0.3", ["00"]),  # in the unit of the column, µs
        ("accuracy_int8>=86 feasible=True", ["10"]),
        ("running", ["02"]),
        ("nothing of this", []),
    ],
)
def test_the_table_filters(page, told, found):
    type_filter(page, told)
    assert sorted(rows(page)) == found
    assert text(page, "#count") == f"{len(found)} of 12 trials"
    type_filter(page, "")
    assert len(rows(page)) == 12


def test_a_message_is_text(page):
    page.value("document.querySelector('[data-trial=\"01\"]').click()")
    assert text(page, "#details h2") == "Trial 01"
    assert run_folders.EVIL in text(page, "#details")
    assert run_folders.EVIL in text(page, "#failures")
    assert page.value("document.querySelectorAll('img').length") == 0
    assert page.value("document.title") != "hit"


def test_a_design_leads_to_what_it_was_made_of(page):
    page.value("document.querySelector('[data-trial=\"06\"]').click()")
    assert "Nsga2: mutated from trial 04" in text(page, "#details")
    page.value("document.querySelector('#details a').click()")
    assert text(page, "#details h2") == "Trial 04"
    assert "trial=04" in page.value("location.hash")


def test_what_runs_shows_its_curve(page):
    page.value("document.querySelector('[data-trial=\"02\"]').click()")
    assert "Learning curves" in text(page, "#details")
    assert "Roofline" not in text(page, "#details")


def test_a_thousand_trials_open_at_once(tmp_path):
    more = {f"stage{n}/kernel_size": 3 for n in range(26)}
    path = written(tmp_path, 1000, range(5, 1000, 37), more=more)
    with chromium.browser() as page:
        page.send("Performance.enable")
        page.open(path)
        measured = page.send("Performance.getMetrics")["metrics"]
        assert len(rows(page)) == 100
        page.value("document.getElementById('more').click()")
        assert len(rows(page)) == 1000
        assert page.errors() == []
    (busy,) = [m["value"] for m in measured if m["name"] == "ProcessTime"]
    assert busy < SECONDS
