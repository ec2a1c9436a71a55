"""The documents: every page can be found, every link leads somewhere, and the pages say what the code says."""

import ast
import re
from pathlib import Path

from docs.generate_lifecycle import generated_files
from tests.repository.tree import ROOT, module_name, pages, source_files, syntax, tracked_files

LINK = re.compile(r"!?\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
MODULE_ROW = re.compile(r"^\| `(orchestra[\w.]*)` \|", re.MULTILINE)
MIGRATION = re.compile(r"\.versions\b")
"""A step of the schema is named by its date and number, and described in its own docstring."""


def links_of(page: Path) -> set[Path]:
    """The files of this repository to which a page links."""
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve() for target in targets if "://" not in target}


def test_every_page_can_be_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    ahead = {ROOT / "README.md"}
    while ahead:
        page = ahead.pop()
        reached.add(page)
        ahead |= {target for target in links_of(page) if target.suffix == ".md" and target.is_file()} - reached

    lonely = sorted(str(page.relative_to(ROOT)) for page in pages() - reached)
    assert not lonely, "no way from README.md to: " + ", ".join(lonely)


def test_every_link_between_pages_leads_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)} -> {target}"
        for page in sorted(pages())
        for target in sorted(links_of(page))
        if not target.exists()
    ]
    assert not broken, "\n".join(broken)


def test_the_architecture_page_names_every_module_and_no_other() -> None:
    named = set(MODULE_ROW.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    existing = {module_name(path): path for path in source_files()}

    missing = [
        f"| `{name}` | {(ast.get_docstring(syntax(path)) or '').split(chr(10))[0]} |"
        for name, path in sorted(existing.items())
        if name not in named and not MIGRATION.search(name)
    ]
    assert not missing, "add to docs/architecture.md:\n" + "\n".join(missing)
    gone = sorted(named - existing.keys())
    assert not gone, "docs/architecture.md names what is not there: " + ", ".join(gone)


def test_the_lifecycle_page_and_its_pictures_are_what_the_tables_say() -> None:
    stale = [
        name
        for name, content in generated_files().items()
        if (ROOT / "docs" / name).read_text(encoding="utf-8") != content
    ]
    assert not stale, "the tables have changed: run `make docs`"


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    changelog = (ROOT / "docs" / "changelog.md").read_text(encoding="utf-8")

    assert "## Unreleased" in changelog


def test_decisions_are_numbered_without_a_double() -> None:
    names = [path.name for path in tracked_files() if path.parent == ROOT / "docs" / "decisions"]
    records = [name for name in names if name != "README.md"]

    assert all(re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name) for name in records), records
    numbers = [name[:4] for name in records]
    assert len(numbers) == len(set(numbers)), sorted(numbers)


def test_the_readme_names_the_two_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")

    assert "make demo" in readme
    assert "make test" in readme
