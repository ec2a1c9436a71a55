"""Patterns of parameters: what they match, what is none, and that none of them keeps a server busy."""

import resource
import subprocess
import sys

import pytest

from orchestra.definition.parameters import validate_parameters
from orchestra.definition.patterns import BadPattern, check_pattern, matches
from orchestra.errors import InvalidFields
from orchestra.specification import Parameter, ParameterType

BOMBS = ("(a+)+", "(a|aa)+", "(a|a?)+", "(.*a){25}", "([a-zA-Z]+)*", "^(([a-z])+.)+[A-Z]([a-z])+$")
"""Each takes a matcher that backtracks longer than anybody lives (OWASP, "Regular expression Denial of Service")."""
PROCESSOR_SECONDS_MAX = 10


@pytest.mark.parametrize(
    ("pattern", "text", "is_matched"),
    [
        ("v\\d+", "v12", True),
        ("v\\d+", "v12 ", False),
        ("v\\d+", "v12\n", False),
        ("v\\d+$", "v12\n", False),
        ("\\d", "٣", False),
        ("\\p{L}+", "Zoë", True),
        (".", "é", True),
        ("a|ab", "ab", True),
        ("(?i)main", "MAIN", True),
        ("", "", True),
    ],
)
def test_the_whole_text_is_matched(pattern: str, text: str, is_matched: bool) -> None:
    assert matches(pattern, text) is is_matched


@pytest.mark.parametrize("pattern", ["(", "(a)\\1", "(?=a)b", "a{1,2000}", "((a{0,100}){0,100}){0,100}"])
def test_what_takes_more_than_one_look_at_each_letter_is_no_pattern(pattern: str) -> None:
    with pytest.raises(BadPattern, match="is no regular expression of RE2"):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", BOMBS)
def test_no_text_keeps_a_server_busy(pattern: str) -> None:
    program = (
        "from orchestra.definition.patterns import matches\n"
        f"print(matches({pattern!r}, 'a' * 100_000 + '!'), matches({pattern!r}, 'a' * 30 + '!'))"
    )

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX))

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, preexec_fn=limited)

    assert (done.returncode, done.stdout) == (0, "False False\n"), done.stderr


def test_a_pattern_of_an_older_version_refuses_its_field_and_breaks_nothing() -> None:
    parameter = Parameter(name="tag", type=ParameterType.STRING, pattern="(?<!x)v.*")

    with pytest.raises(InvalidFields) as caught:
        validate_parameters([parameter], {"tag": "v1"}, {})

    [(pointer, sentence)] = caught.value.problems
    assert pointer == "/parameters/tag"
    assert sentence.startswith("cannot be checked: its pattern is no regular expression of RE2")
