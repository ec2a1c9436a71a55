"""Templates reach plain values and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.errors import OrchestraError
from orchestra.formatter import BadTemplate, UnknownValue, Values, format_argument
from orchestra.limits import ARGUMENT_BYTES_MAX, FORMAT_WIDTH_MAX

VALUES: Values = {
    "parameters": {"branch": "main", "drain-for": 90, "ratio": 0.5, "force": True},
    "environment": {"HOME": "/home/build"},
    "results": {"version": "1.2"},
    "run": {"number": 482},
}


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("--branch={parameters.branch}", "--branch=main"),
        ("{environment.HOME}/{results.version}", "/home/build/1.2"),
        ("{parameters.drain-for}s", "90s"),
        ("{run.number:06}", "000482"),
        ("{parameters.ratio:.2f} {parameters.ratio:%}", "0.50 50.000000%"),
        ("{parameters.branch:*^8}|{parameters.branch:.2}", "**main**|ma"),
        ("{parameters.force}", "true"),
        ("{{literal}} {run.number:#x}", "{literal} 0x1e2"),
    ],
)
def test_a_template_is_filled_in_by_pythons_format_grammar(template: str, expected: str) -> None:
    assert format_argument(template, VALUES) == expected


@pytest.mark.parametrize(
    "template",
    [
        "{x}",
        "{}",
        "{0}",
        "{parameters}",
        "{parameters.}",
        "{parameters.__class__}",
        "{parameters.branch.__class__.__mro__}",
        "{parameters[branch]}",
        "{environment[HOME]}",
        "{parameters.branch[0]}",
        "{ parameters.branch}",
    ],
)
def test_a_name_that_nobody_gave_is_refused_whatever_python_would_find_there(template: str) -> None:
    with pytest.raises(UnknownValue):
        format_argument(template, VALUES)


@pytest.mark.parametrize(
    "template",
    [
        "{",
        "}",
        "{parameters.branch",
        "{parameters.branch!r}",
        "{parameters.branch!s}",
        "{parameters.branch:>300000000}",
        "{parameters.ratio:.129f}",
        "{parameters.branch:{run.number}}",
        "{run.number:c}",
        "{run.number:n}",
        "{parameters.branch:d}",
        "{parameters.branch:>" + "9" * 5000 + "}",
        "{parameters.branch:__class__}",
    ],
)
def test_what_the_grammar_does_not_have_is_refused(template: str) -> None:
    with pytest.raises(BadTemplate):
        format_argument(template, VALUES)


def test_an_unknown_name_is_told_with_names_that_are_near() -> None:
    with pytest.raises(UnknownValue) as caught:
        format_argument("{parameters.brunch}", VALUES)

    assert str(caught.value) == (
        "the template '{parameters.brunch}' names the unknown value 'parameters.brunch': "
        "did you mean parameters.branch?"
    )


def test_a_lone_brace_is_told_with_its_remedy() -> None:
    with pytest.raises(BadTemplate) as caught:
        format_argument("awk }", VALUES)

    assert str(caught.value) == (
        "the template 'awk }' cannot be formatted: single '}' encountered in format string "
        "(write {{ or }} for a literal brace)"
    )


def test_a_result_beyond_the_bound_is_refused() -> None:
    values: Values = {"parameters": {"long": "x" * (ARGUMENT_BYTES_MAX // 2 + 1)}}

    assert len(format_argument("{parameters.long}", values)) == ARGUMENT_BYTES_MAX // 2 + 1
    with pytest.raises(BadTemplate, match="longer than 128 KiB"):
        format_argument("{parameters.long}{parameters.long}", values)


@given(st.text(alphabet="{}[].!:_abpr<>^*0123456789 parameters.branch", max_size=60))
def test_a_hostile_template_gives_an_error_or_a_bounded_text(template: str) -> None:
    try:
        text = format_argument(template, VALUES)
    except OrchestraError:
        return

    assert len(text) <= len(template) * (FORMAT_WIDTH_MAX + 2)
    assert "object at" not in text
    assert "<class" not in text


LITERALS = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(value=st.text(), before=LITERALS, after=LITERALS)
def test_the_output_consists_of_the_template_and_the_value(value: str, before: str, after: str) -> None:
    template = (
        before.replace("{", "{{").replace("}", "}}") + "{results.v}" + after.replace("{", "{{").replace("}", "}}")
    )

    assert format_argument(template, {"results": {"v": value}}) == before + value + after
