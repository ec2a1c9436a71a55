"""What the pages state in tables is what the code has: messages, codes, commands."""

import re
from pathlib import Path
from typing import get_args

import pytest

from orchestra.cli.exits import ExitCode
from orchestra.cli.program import WORDS
from orchestra.definition.element_fields import APPROVAL_KEYS, ELEMENT_KEYS
from orchestra.definition.reader import JOB_KEYS, read_definition
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import Event, MasterMessage, WorkerMessage
from orchestra.specification import ParameterType
from tests.repository.tree import ROOT, pages

CODE_ROW = re.compile(r"^\| (\d+) \|", re.MULTILINE)
SHOWN = re.compile(r"(?:^|`|/bin/|&& )orchestra ([a-z][a-z-]*)", re.MULTILINE)
"""A command as pages show it: in backticks, or at the beginning of a line of a block."""


def page(name: str) -> str:
    """A page of the documentation."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def tags(union: object) -> set[str]:
    """The names on the wire of a union of messages."""
    return {str(member.__struct_config__.tag) for member in get_args(union)}


def test_the_protocol_page_names_every_message_and_every_event() -> None:
    happenings = Event.__annotations__["happening"]
    named = set(re.findall(r"`([a-z-]+)`", page("protocol.md")))

    missing = (tags(WorkerMessage) | tags(MasterMessage) | tags(happenings)) - named
    assert not missing, sorted(missing)


def test_the_protocol_page_has_every_close_code() -> None:
    codes = {int(code) for code in CODE_ROW.findall(page("protocol.md"))}

    assert codes == {int(code) for code in CloseCode}


def test_the_operations_page_has_every_exit_code() -> None:
    codes = {int(code) for code in CODE_ROW.findall(page("operations.md"))}

    assert codes == {int(code) for code in ExitCode}


def test_every_command_that_the_pages_show_exists() -> None:
    known = {name for word, entry in WORDS.items() for name in (word, *entry.also)}

    shown = {(path.name, word) for path in pages() for word in SHOWN.findall(path.read_text(encoding="utf-8"))}
    unknown = sorted(f"{name}: orchestra {word}" for name, word in shown if word not in known)
    assert shown
    assert not unknown, "\n".join(unknown)


@pytest.mark.parametrize("path", sorted(pages()), ids=lambda path: path.name)
def test_every_definition_that_a_page_shows_is_valid(path: Path) -> None:
    for block in re.findall(r"```yaml\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        read_definition(block, path.name)


def test_the_definition_page_names_every_key_of_a_job_and_of_an_element() -> None:
    named = set(re.findall(r"`([a-z-]+)`", page("definition.md")))

    assert not {*JOB_KEYS, *ELEMENT_KEYS, *APPROVAL_KEYS} - named


def test_the_definition_page_names_every_type_of_parameter() -> None:
    named = set(re.findall(r"`([a-z-]+)`", page("definition.md")))

    assert not set(ParameterType) - named


def test_the_readme_triggers_jobs_that_the_demo_has() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    demo = (ROOT / "orchestra" / "cli" / "examples" / "demo.yaml").read_text(encoding="utf-8")

    jobs = {job.name for job in read_definition(demo, "demo.yaml").jobs}
    assert set(re.findall(r"\bdemo/([a-z-]+)", readme)) <= jobs


def test_the_page_of_guarantees_names_tests_that_exist() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", page("guarantees.md")))

    assert len(named) > 20
    missing = sorted(name for name in named if not (ROOT / name).exists())
    assert not missing, "\n".join(missing)
