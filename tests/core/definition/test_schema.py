"""The JSON Schema for editors agrees with the reader about good files and about plain mistakes."""

import jsonschema
import pytest

from orchestra.definition.document import Mapping, Node, Sequence
from orchestra.definition.reader import JOB_KEYS, PROJECT_KEYS, read_definition
from orchestra.definition.schema import definition_schema
from orchestra.definition.yaml_text import parse_document
from tests.core.definition.examples import BACKUP, RENDER, RESIZE
from tests.core.definition.pipeline_examples import RELEASE

HEAD = "orchestra: 1\nproject: ops\njobs:\n  a: "


def plain(node: Node) -> object:
    """The values of a tree, as an editor that reads YAML 1.2 has them (`on` is a text)."""
    if isinstance(node, Mapping):
        return {entry.key: plain(entry.node) for entry in node.entries}
    return [plain(item) for item in node.items] if isinstance(node, Sequence) else node.value


def test_the_schema_is_a_valid_one_and_knows_every_key() -> None:
    schema = definition_schema()

    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["properties"].keys() == set(PROJECT_KEYS)  # type: ignore[attr-defined]  # plain JSON
    job = schema["properties"]["jobs"]["additionalProperties"]  # type: ignore[index]  # plain JSON
    assert job["properties"].keys() == set(JOB_KEYS)


@pytest.mark.parametrize("text", [BACKUP, RESIZE, RENDER, RELEASE])
def test_the_examples_are_valid_for_both(text: str) -> None:
    read_definition(text, "orchestra.yaml")

    jsonschema.validate(plain(parse_document(text, "a")), definition_schema(), cls=jsonschema.Draft7Validator)


@pytest.mark.parametrize(
    "job",
    [
        "{ runn: x }",
        "{ run: x, command: [y] }",
        "{ run: x, timeout: 45 }",
        "{ run: x, slots: 0 }",
        "{}",
        "{ run: x, retry: { max-attempts: three } }",
        "{ run: x, worker: { os: { nto: x } } }",
        "{ run: x, schedule: { zone: UTC } }",
        "{ run: x, parameters: { n: { type: integr } } }",
        "{ run: x, elements: { b: {} } }",
        "{ elements: { b: { aftr: c } } }",
        "{ elements: { b: { after: { c: success } } } }",
        "{ elements: { b: { matrix: { os: [] } } } }",
        "{ elements: { b: { max-parallel: 0 } } }",
        "{ elements: { b: { for-each: [1, 2] } } }",
        "{ elements: { b: { allow-failure: { exit: 256 } } } }",
        "{ elements: { b: { approval: { timeout: 2 } } } }",
        "{ elements: { B: {} } }",
    ],
)
def test_plain_mistakes_are_seen_by_the_schema_too(job: str) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(plain(parse_document(HEAD + job, "a")), definition_schema(), cls=jsonschema.Draft7Validator)
