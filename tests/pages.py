"""The pages of this project, and the blocks of code that they show."""

import json
import pathlib
import re

ROOT = pathlib.Path(__file__).parent.parent
NOTEBOOK = "tools/notebook.ipynb"
FIRST = "README.md"
"""All others may build on what its Python has imported and made."""


def _text_by_page():
    found = [*ROOT.glob("*.md")]
    for folder in ("tools", "configs", "tf_cosearch"):
        found += sorted((ROOT / folder).rglob("*.md"))
    told = {str(path.relative_to(ROOT)): path.read_text() for path in found}
    return told | {NOTEBOOK: "\n\n".join(cells("markdown"))}


def cells(kind):
    """Sources of the cells of the notebook, `markdown` or `code`."""
    content = json.loads((ROOT / NOTEBOOK).read_text())
    found = [cell for cell in content["cells"] if cell["cell_type"] == kind]
    return ["".join(cell["source"]) for cell in found]


TEXT = _text_by_page()
"""Page -> what it says."""


def code_blocks(language, page):
    return re.findall(rf"```{language}\n(.*?)```", TEXT[page], re.DOTALL)


def program(page):
    """All Python of a page, as it stands."""
    return "\n".join(code_blocks("python", page))


def commands():
    """Commands of all shell blocks once, with continued lines in one."""
    blocks = [block for page in TEXT for block in code_blocks("bash", page)]
    lines = "".join(blocks).replace("\\\n", "").splitlines()
    words = [" ".join(line.split("  #")[0].split()) for line in lines]
    return list(dict.fromkeys(words))


def columns():
    """Column of trials.csv -> its unit, of all tables of columns."""
    page = TEXT["tf_cosearch/designs/README.md"]
    table = page.partition("## Columns of `trials.csv`")[2]
    found = re.findall(
        r"^\| `([\w/]+)`(?: .*?)? \| (.*?) ?\| ", table, re.MULTILINE
    )
    assert len(found) == len(dict(found))
    return dict(found)
