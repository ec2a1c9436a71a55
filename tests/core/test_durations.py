"""Durations as people write and read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.durations import BadDuration, duration_in_words, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45m", 2700),
        ("1h30m", 5400),
        ("7d", 604_800),
        ("2w", 1_209_600),
        ("250ms", 0.25),
        ("1.5h", 5400),
        (" 10 s ", 10),
        ("1h 30m", 5400),
        ("0s", 0),
        ("1.1s 2.2s", 3.3),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "45", "m", "-5m", "5 minutes", "1e3s", "５m", "5m!", "99999d", "1s" * 40])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(BadDuration, match="is no duration"):
        parse_duration(text)


@given(st.integers(0, 10**14).map(lambda microseconds: microseconds / 1_000_000))
def test_what_is_formatted_is_read_back_to_the_same_number(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "250 ms"),
        (12, "12 s"),
        (252, "4 min 12 s"),
        (2700, "45 min"),
        (5400, "1 h 30 min"),
        (90_061, "1 d 1 h"),
        (59.6, "1 min"),
    ],
)
def test_a_duration_is_said_with_its_two_largest_units(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words
