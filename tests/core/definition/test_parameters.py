"""Typed parameters of a run: what is taken, what is refused, and that no secret is ever repeated."""

import pytest

from orchestra.definition.parameters import TypedParameters, validate_parameters
from orchestra.definition.reader import read_definition
from orchestra.errors import InvalidFields
from orchestra.specification import Parameter, ParameterType, PropertyValue
from tests.core.definition.examples import RESIZE

PARAMETERS = read_definition(RESIZE, "shop.yaml").jobs[0].specification.parameters
GIVEN: dict[str, object] = {"version": "v1.4.2"}


def refusal(given: dict[str, object], secrets: dict[str, object] | None = None) -> dict[str, str]:
    """The problems by pointer."""
    with pytest.raises(InvalidFields) as caught:
        validate_parameters(PARAMETERS, given, secrets or {})
    return dict(caught.value.problems)


def test_defaults_are_filled_in_and_what_has_none_is_absent() -> None:
    typed = validate_parameters(PARAMETERS, GIVEN, {})

    assert typed == TypedParameters(
        values={"version": "v1.4.2", "replicas": 2, "notify": True, "drain-for": "10m"}, secrets={}
    )


@pytest.mark.parametrize(
    ("name", "given", "typed"),
    [
        ("replicas", "3", 3),
        ("replicas", 3.0, 3),
        ("share", "0.75", 0.75),
        ("share", 1, 1.0),
        ("notify", "false", False),
        ("drain-for", "1m30s", "1m30s"),
        ("env", "staging", "staging"),
        ("notes", "two\nlines", "two\nlines"),
        ("notes", 5, "5"),
    ],
)
def test_a_value_is_typed_from_json_and_from_text(name: str, given: object, typed: PropertyValue) -> None:
    values = validate_parameters(PARAMETERS, {**GIVEN, name: given}, {}).values

    assert values[name] == typed
    assert type(values[name]) is type(typed)


@pytest.mark.parametrize(
    ("name", "given", "sentence"),
    [
        ("replicas", "three", 'must be a whole number, got "three"'),
        ("replicas", 2.5, "must be a whole number, got 2.5"),
        ("replicas", True, "must be a whole number, got true"),
        ("replicas", 0, "must be at least 1, got 0"),
        ("replicas", 21, "must be at most 20, got 21"),
        ("replicas", 10**30, "must be a whole number, got 1e+30"),
        ("share", "nan", 'must be a number, got "nan"'),
        ("share", "much", 'must be a number, got "much"'),
        ("notify", "yes", 'must be true or false, got "yes"'),
        ("drain-for", "soon", 'must be a duration such as 45m or 1h30m, got "soon"'),
        ("drain-for", "1s", "must be at least 10s, got 1s"),
        ("env", "prod", 'must be one of staging, production, got "prod"'),
        ("version", "1.4.2", r'must match v\d+\.\d+\.\d+, such as v1.4.2, got "1.4.2"'),
        ("version", "v1.4.2\n", "must be one line: declare the parameter as `type: text` for more"),
        ("notes", ["a"], "must be a text, got a list"),
        ("notes", {"a": 1}, "must be a text, got an object"),
        ("notes", "a\0b", "must not hold a NUL character: no process can be given one"),
        ("notes", "x" * 200_000, "must be at most 130816 bytes long"),
    ],
)
def test_a_wrong_value_is_refused_by_its_pointer(name: str, given: object, sentence: str) -> None:
    assert refusal({**GIVEN, name: given}) == {f"/parameters/{name}": sentence}


def test_all_problems_are_told_at_once() -> None:
    problems = refusal({"replicas": 0, "verison": "v1.0.0"}, {"api-key": "short"})

    assert problems == {
        "/parameters/verison": "is no parameter of the job: did you mean `version`?",
        "/parameters/version": "is required: give a string, such as v1.4.2",
        "/parameters/replicas": "must be at least 1, got 0",
        "/secrets/api-key": "must be at least 6 bytes long: masking a shorter one would garble the log",
    }


def test_a_secret_is_taken_only_as_a_secret() -> None:
    typed = validate_parameters(PARAMETERS, GIVEN, {"api-key": "correct horse"})

    assert typed.secrets == {"api-key": "correct horse"}
    assert "api-key" not in typed.values
    assert "/parameters/api-key" in refusal({**GIVEN, "api-key": "correct horse"})
    assert "/secrets/notes" in refusal(GIVEN, {"notes": "x"})


@pytest.mark.parametrize("secret", ["hunt2", "hunter2\0hunter2", 12_345_678, "hunter2" * 100_000])
def test_no_refusal_repeats_a_secret(secret: object) -> None:
    problems = refusal({**GIVEN, "api-key": secret}, {"api-key": secret})

    assert not any("hunt" in sentence or "1234" in sentence for sentence in problems.values())


def test_a_required_secret_that_is_missing_is_refused_in_the_secrets() -> None:
    key = Parameter(name="key", type=ParameterType.SECRET, required=True)

    with pytest.raises(InvalidFields) as caught:
        validate_parameters([key], {}, {})

    assert caught.value.problems == (("/secrets/key", "is required: give a secret"),)
