"""Passwords that everybody tries first: a bundled list, and the ways in which people make such a one longer."""

from functools import cache
from importlib.resources import files

_ROWS = (
    "abcdefghijklmnopqrstuvwxyz" * 2,
    "1234567890" * 13,
    "0123456789" * 13,
    "qwertyuiopasdfghjklzxcvbnm" * 2,
    "qwertzuiopasdfghjklyxcvbnm" * 2,
    "azertyuiopqsdfghjklmwxcvbn" * 2,
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p" * 2,
    "q1w2e3r4t5y6u7i8o9p0" * 2,
    "1q2w3e4r5t6y7u8i9o0p" * 2,
)
_LOOKALIKES = str.maketrans("0134578@$!", "oleastbasi")
_PADDING = "0123456789!?.,;:-_+*#$%&/()=@ "
_KINDS_OF_CHARACTERS_MIN = 5


def is_common(password: str, *, name: str = "") -> bool:
    """Whether this is a password of the list, a row of keys, the user's own name, or one of these made longer.

    Made longer: said several times over, with digits and signs around it, or with letters that look like others.
    """
    text = password.casefold()
    if len(set(text)) < _KINDS_OF_CHARACTERS_MIN:
        return True
    known = _known() | ({name.casefold()} if name else set())
    forms = {text, text.translate(_LOOKALIKES)}
    forms |= {form.strip(_PADDING) for form in forms}
    forms |= {text.strip(_PADDING).translate(_LOOKALIKES)}
    return any(_repeated(form) in known or _is_row(form) for form in forms if form)


def _repeated(text: str) -> str:
    """What is said over and over in the text; the text itself if nothing is."""
    for length in range(1, len(text) // 2 + 1):
        piece = text[:length]
        if (piece * (len(text) // length + 1))[: len(text)] == text:
            return piece.strip(_PADDING) or piece
    return text


def _is_row(text: str) -> bool:
    piece = _repeated(text)
    return any(piece in row or piece[::-1] in row for row in _ROWS)


@cache
def _known() -> frozenset[str]:
    text = files("orchestra.commands").joinpath("common_passwords.txt").read_text(encoding="utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
