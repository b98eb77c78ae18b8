"""The notebook is what a run of it leaves, and runs."""

import json
import re
import subprocess
import sys

import pages
import pytest

CONTENT = json.loads((pages.ROOT / pages.NOTEBOOK).read_text())


def told(content):
    """What each code cell has put out."""
    texts = []
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            parts = [
                part.get("text") or part["data"]["text/plain"]
                for part in cell["outputs"]
            ]
            texts.append("".join(map("".join, parts)))
    return texts


def shares_of_right(content):
    """What the file has, in the search and as a phone runs it."""
    *_, exported, phone = told(content)
    in_search = re.search(r"'accuracy_int8': '([\d.]+)%'", exported)[1]
    return in_search, re.search(r"([\d.]+)% of 450 right", phone)[1]


def test_what_it_shows_is_of_one_run_from_its_start():
    code = [cell for cell in CONTENT["cells"] if cell["cell_type"] == "code"]
    counts = [cell["execution_count"] for cell in code]
    assert counts == list(range(1, len(code) + 1))
    kinds = {out["output_type"] for cell in code for out in cell["outputs"]}
    assert kinds == {"display_data", "execute_result", "stream"}
    in_search, on_the_phone = shares_of_right(CONTENT)
    assert in_search == on_the_phone


@pytest.mark.slow
def test_it_runs(tmp_path):
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    program = (
        "import sys, nbclient, nbformat\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(notebook, timeout=1200).execute()\n"
        "nbformat.write(notebook, 'run.ipynb')\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, pages.ROOT / pages.NOTEBOOK],
        cwd=tmp_path,
        check=True,
    )
    content = json.loads((tmp_path / "run.ipynb").read_text())
    in_search, on_the_phone = shares_of_right(content)
    assert in_search == on_the_phone
    assert float(in_search) > 80
