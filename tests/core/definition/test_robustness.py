"""Whatever a file holds, the reader answers with a definition or with problems that have a place."""

import string

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra.definition.canonical import decode_definition, encode_definition
from orchestra.definition.document import Mapping, Node, Scalar, document_of
from orchestra.definition.element_fields import ELEMENT_KEYS
from orchestra.definition.problems import DefinitionErrors
from orchestra.definition.reader import JOB_KEYS, PROJECT_KEYS, examine_definition, examine_document, read_definition
from orchestra.definition.yaml_text import parse_document
from orchestra.specification import ProjectDefinition
from tests.core.definition.examples import BACKUP, RENDER, RESIZE
from tests.core.definition.pipeline_examples import RELEASE

EXAMPLES = st.sampled_from([BACKUP, RENDER, RESIZE, RELEASE])
PIECES = st.one_of(
    st.sampled_from(
        ["{", "}", "[", "]", ":", "- ", "\n", "  ", "'", '"', "~", "null", "*a", "&a ", "!x ", "#", "|", ".inf"]
    ),
    st.text(string.printable, max_size=6),
)
PLAIN: st.SearchStrategy[object] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(text=EXAMPLES, start=st.integers(0, 3200), length=st.integers(0, 20), piece=PIECES)
def test_a_damaged_file_is_read_or_refused_with_places(text: str, start: int, length: int, piece: str) -> None:
    damaged = text[:start] + piece + text[start + length :]

    outcome = read_or_refuse(damaged)

    if isinstance(outcome, DefinitionErrors):
        assert outcome.report()
        assert all(problem.line >= 1 for problem in outcome.problems)
    else:
        assert decode_definition(encode_definition(outcome)) == outcome


def read_or_refuse(text: str) -> ProjectDefinition | DefinitionErrors:
    """The only two things that may happen."""
    try:
        return read_definition(text, "orchestra.yaml")
    except DefinitionErrors as errors:
        return errors


@settings(max_examples=250, deadline=None)
@given(key=st.sampled_from(JOB_KEYS), value=PLAIN)
def test_any_value_below_any_key_is_read_or_refused(key: str, value: object) -> None:
    job = {"run": "x", key: value} if key != "run" else {key: value}

    reading = examine_document(
        document_of({"orchestra": 1, "project": "ops", "jobs": {"a": job}}), source="project", text=""
    )

    assert reading.problems or decode_definition(encode_definition(reading.definition)) == reading.definition


@settings(max_examples=250, deadline=None)
@given(key=st.sampled_from(("locks", "slots", "share", "reserve")), value=PLAIN)
def test_any_value_that_a_project_says_for_all_is_read_or_refused(key: str, value: object) -> None:
    said = {key: value} if key in PROJECT_KEYS else {"slots": {key: value}}

    reading = examine_document(document_of({"orchestra": 1, "project": "ops", **said}), source="project", text="")

    assert reading.problems or decode_definition(encode_definition(reading.definition)) == reading.definition


@settings(max_examples=250, deadline=None)
@given(key=st.sampled_from((*ELEMENT_KEYS, "exclude", "include", "os")), value=PLAIN, is_closing=st.booleans())
def test_any_value_below_any_key_of_an_element_is_read_or_refused(key: str, value: object, is_closing: bool) -> None:
    element = {key: value} if key in ELEMENT_KEYS else {"matrix": {"os": ["a"], key: value}}
    elements: dict[str, object] = {"elements": {"a": {}, "b": {"after": "a"}}}
    place = elements.setdefault("finally", {}) if is_closing else elements["elements"]
    assert isinstance(place, dict)
    place["c"] = {"job": "a", **element}

    reading = examine_document(
        document_of({"orchestra": 1, "project": "ops", "jobs": {"a": {"run": "x"}, "b": {"run": "x"}, "p": elements}}),
        source="project",
        text="",
    )

    assert reading.problems or decode_definition(encode_definition(reading.definition)) == reading.definition


def test_every_value_of_the_core_schema_is_resolved_as_yaml_1_2_has_it() -> None:
    text = "[22:30, no, on, y, 010, 0o17, 0x1F, 1_000, 1.10, 1e3, .5, true, False, ~, null, 2026-01-02, '5', +7, =]"

    node = parse_document(text, "a")

    assert values_of(node) == [
        "22:30", "no", "on", "y", 10, 15, 31, "1_000", 1.1, 1000.0, 0.5, True, False, None, None, "2026-01-02", "5",
        7, "=",
    ]  # fmt: skip


def values_of(node: Node) -> list[object]:
    """The values of a flat list."""
    assert not isinstance(node, Scalar | Mapping)
    return [item.value for item in node.items if isinstance(item, Scalar)]


def test_a_file_with_a_byte_order_mark_and_windows_line_ends_is_read() -> None:
    definition = read_definition("\ufeff" + BACKUP.replace("\n", "\r\n"), "orchestra.yaml")

    assert definition == read_definition(BACKUP, "orchestra.yaml")


def test_a_width_of_thousands_of_digits_is_refused_and_not_computed() -> None:
    job = "{ command: [x, '{run.number:" + "9" * 5000 + "}'], timeout: 1m }"

    (problem,) = examine_definition(f"orchestra: 1\nproject: ops\njobs: {{ a: {job} }}\n", "orchestra.yaml").problems

    assert problem.sentence == "jobs.a.steps.0.command.1 pads a value to more than 128 characters"


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "orchestra: 1\nproject: ops\njobs: { a: { run: " + "x" * 300 + ", slots: 0 } }\n"

    lines = examine_definition(text, "orchestra.yaml").report().splitlines()

    assert lines[1].startswith("    3 | …")
    assert lines[1][lines[2].index("^")] == "0"
