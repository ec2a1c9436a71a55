"""Passwords that are tried first: the list itself, and what people make of it."""

import pytest

from orchestra.commands.common_passwords import _known, is_common
from orchestra.commands.passwords import check_password
from orchestra.errors import InvalidFields


def test_the_list_is_long_and_has_what_everybody_knows() -> None:
    assert len(_known()) >= 3_000
    assert {"password", "123456", "qwerty", "letmein", "iloveyou", "admin", "welcome", "changeme"} <= _known()


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password1234567!",
        "P@ssw0rdP@ssw0rd",
        "letmein letmein letmein",
        "qwertyuiopasdfgh",
        "1qaz2wsx3edc4rfv",
        "123456789012345",
        "987654321098765432",
        "aaaaaaaaaaaaaaaaa",
        "iloveyou12345678",
        "!!!!!!dragon!!!!!!",
        "anastasia2026!!!",
        "correcthorsebatterystaple",
    ],
)
def test_what_is_tried_first_is_refused_with_a_sentence_however_it_was_made_longer(password: str) -> None:
    with pytest.raises(InvalidFields, match="is among those that are tried first"):
        check_password(password, "/password", name="anastasia")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "sunny river walks north", "kX9#vL2@qW7!pZ4m", "ü" * 3 + "öäßéè tülü bülü"]
)
def test_several_words_and_random_ones_are_taken(password: str) -> None:
    check_password(password, "/password", name="anastasia")

    assert not is_common(password)
