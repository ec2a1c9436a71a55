"""Hostile templates: what comes out is literal text and values that were given, in the form that was asked, or a
refusal in words."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra.formatter import BadTemplate, UnknownValue, format_argument
from orchestra.limits import FORMAT_WIDTH_MAX
from tests.properties.effort import IS_STEADY, effort, times
from tests.properties.hostile_templates import VALUES, allowed_output, hostile_template

TEMPLATES = 100_000
VALUE_CHARACTERS_MAX = 2048
"""No value that is given has more in any form: the longest is the huge number in binary digits, grouped."""
SENTENCE_CHARACTERS_MAX = 1000


def outcome_of(template: str) -> str | None:
    """What the formatter makes of it; None for a refusal, whose sentence is looked at."""
    try:
        return format_argument(template, VALUES)
    except (BadTemplate, UnknownValue) as refusal:
        sentence = str(refusal)
        assert sentence.startswith(f"the template {template[:80]!r} ")
        assert len(sentence) <= SENTENCE_CHARACTERS_MAX
        assert " object at 0x" not in sentence
        return None


def test_a_hundred_thousand_hostile_templates_give_what_a_second_reading_allows() -> None:
    seed = 0 if IS_STEADY else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    given_out = refused = 0

    for number in range(times(TEMPLATES)):
        template = hostile_template(chance)
        outcome = outcome_of(template)
        assert outcome == allowed_output(template), f"template {number} of seed {seed}: {template!r}"
        given_out += outcome is not None
        refused += outcome is None
        assert outcome is None or len(outcome) <= len(template) + template.count("{") * VALUE_CHARACTERS_MAX

    assert min(given_out, refused) > times(TEMPLATES) / 10, f"seed {seed}: {given_out} given out, {refused} refused"


def test_a_number_that_is_too_large_for_its_format_is_refused_in_words() -> None:
    with pytest.raises(BadTemplate, match=r"cannot be formatted: a number is too large for its format"):
        format_argument("{parameters.huge:f}", VALUES)


def test_half_a_character_is_refused_in_words() -> None:
    with pytest.raises(BadTemplate, match="holds half of a character"):
        format_argument("{run.number} \ud800", VALUES)


def test_half_a_character_in_a_value_is_refused_in_words() -> None:
    with pytest.raises(BadTemplate, match="holds half of a character"):
        format_argument("{results.v}", {"results": {"v": "\ud800"}})


def test_a_nul_is_refused_in_words() -> None:
    with pytest.raises(BadTemplate, match="holds a NUL character"):
        format_argument("{run.number!\0}", VALUES)


@effort(500)
@given(st.integers(0, 1 << 32), st.text(alphabet=st.characters(), max_size=8), st.integers(0, 80))
def test_any_character_anywhere_in_a_template_gives_what_a_second_reading_allows(
    seed: int, inserted: str, place: int
) -> None:
    template = hostile_template(random.Random(seed))
    template = template[:place] + inserted + template[place:]

    assert outcome_of(template) == allowed_output(template)


@effort(300)
@given(
    st.text(alphabet=st.characters(), max_size=20),
    st.one_of(st.integers(), st.floats(), st.booleans(), st.text(alphabet=st.characters(codec="utf-8"))),
)
def test_any_value_comes_out_as_it_is_or_padded_to_a_bound(name: str, value: str | float | bool) -> None:
    plain = "true" if value is True else "false" if value is False else str(value)
    values = {"results": {"v": value, name: "another"} if name != "v" else {"v": value}}

    assert format_argument("{results.v}", values) == plain
    assert format_argument(f"{{results.v:>{FORMAT_WIDTH_MAX}}}", values) == format(plain, f">{FORMAT_WIDTH_MAX}")
