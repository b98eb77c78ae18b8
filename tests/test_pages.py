"""What the pages say of files, and of each other, is there."""

import re

import pages
import pytest

PAGES = [*pages.TEXT]


def sections(page):
    """Anchors of its headings, as GitHub makes them."""
    prose = re.sub(r"```.*?```", "", pages.TEXT[page], flags=re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    kept = [re.sub(r"[^\w\- ]", "", title.lower()) for title in titles]
    return [title.replace(" ", "-") for title in kept]


def links(page):
    prose = re.sub(r"```.*?```", "", pages.TEXT[page], flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [link for link in found if "://" not in link]


def broken(page):
    folder = (pages.ROOT / page).parent
    wrong = []
    for link in links(page):
        name, _, section = link.partition("#")
        path = (folder / name).resolve() if name else pages.ROOT / page
        if not path.exists():
            wrong.append(link)
        elif section:
            other = str(path.relative_to(pages.ROOT))
            wrong += [] if section in sections(other) else [link]
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    assert broken(page) == []


def test_a_link_that_leads_nowhere_is_found(monkeypatch):
    text = "# A *b*, `c_d`\n[1](#a-b-c_d) [2](#a) [3](no.md) [4](tools)\n"
    monkeypatch.setitem(pages.TEXT, "page.md", text)
    assert links("page.md") == ["#a-b-c_d", "#a", "no.md", "tools"]
    assert sections("page.md") == ["a-b-c_d"]
    monkeypatch.setitem(pages.TEXT, "README.md", text)
    assert broken("README.md") == ["#a", "no.md"]


def test_every_page_is_reached_from_the_first():
    """Also every picture is shown, by one page or another."""
    reached = set()
    for page in PAGES:
        folder = (pages.ROOT / page).parent
        for link in links(page):
            reached.add((folder / link.partition("#")[0]).resolve())
    pictures = [*(pages.ROOT / ".pictures").iterdir()]
    assert pictures
    others = [pages.ROOT / page for page in PAGES if page != pages.FIRST]
    assert [path for path in others + pictures if path not in reached] == []


def test_the_first_page_is_read_in_a_minute():
    assert len(pages.TEXT[pages.FIRST].splitlines()) <= 170
    for page in PAGES:
        assert pages.TEXT[page].startswith("# "), page


@pytest.mark.parametrize("page", PAGES)
def test_files_and_folders_lie_where_it_says(page):
    """A file without a folder is told beside one that has."""
    named = re.findall(r"`([a-z_0-9/]+/|[a-z_0-9/]+\.py)`", pages.TEXT[page])
    package = pages.ROOT / "tf_cosearch"
    beside = (pages.ROOT / page).parent
    tops = (pages.ROOT, package, pages.ROOT / "tools", beside)
    missing = [
        path
        for path in named
        if not any((top / path).exists() for top in tops)
        and ("/" in path or not any(package.rglob(path)))
    ]
    assert not missing
