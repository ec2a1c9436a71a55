"""Secrets never leave, wherever the log is cut."""

import base64
import json
import random
import shlex
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestra_worker.masking import Masker

SECRET = "hunter/2 'böse'\"x"


def masked(secrets: list[str], content: bytes) -> bytes:
    """The whole of a log without its secrets."""
    return Masker(secrets).mask_window(content, 0, len(content))


def in_windows(secrets: list[str], content: bytes, cuts: list[int]) -> bytes:
    """The same, piece by piece, each seen with no more around it than it needs."""
    masker = Masker(secrets)
    reach = masker.hold_back_bytes
    pieces = []
    for start, stop in zip([0, *cuts], [*cuts, len(content)], strict=True):
        first = max(start - reach, 0)
        pieces.append(masker.mask_window(content[first : stop + reach], start - first, stop - first))
    return b"".join(pieces)


def forms(secret: str) -> dict[str, bytes]:
    """The secret as it leaks."""
    plain = secret.encode()
    return {
        "plain": plain,
        "base64": base64.b64encode(plain),
        "base64 behind one byte": base64.b64encode(b"u" + plain + b"tail"),
        "base64 behind two bytes": base64.b64encode(b"u:" + plain + b"t"),
        "URL-encoded": quote(secret, safe="").encode(),
        "JSON": json.dumps({"token": secret}).encode(),
        "JSON with letters": json.dumps({"token": secret}, ensure_ascii=False).encode(),
        "shell": shlex.quote(secret).encode(),
        "Python": repr(secret).encode(),
        "Python in a text with quotation marks": repr(f'a "b" {secret}').encode(),
    }


@pytest.mark.parametrize("form", forms(SECRET))
def test_a_secret_is_masked_in_every_form_at_every_split_with_its_length_kept(form: str) -> None:
    text = b"before " + forms(SECRET)[form] + b" after"
    whole = masked([SECRET], text)

    assert len(whole) == len(text)
    assert whole.startswith(b"before ")
    assert whole.endswith(b" after")
    assert whole.count(b"*") >= len(SECRET.encode())
    for split in range(len(text) + 1):
        assert in_windows([SECRET], text, [split]) == whole
    assert in_windows([SECRET], text, list(range(1, len(text)))) == whole


def test_nothing_recognisable_of_a_base64_form_remains() -> None:
    for before in range(6):
        encoded = base64.b64encode(b"x" * before + SECRET.encode() + b"yyyy")
        # Only the characters that also hold bits of a neighbour stay: at most one at each end.
        assert masked([SECRET], encoded).count(b"*") >= len(SECRET.encode()) * 8 // 6 - 1


def test_each_line_of_a_secret_of_several_lines_is_masked() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmno\n-----END KEY-----\n"
    text = b"abcdefghijkl\r\nmno\r\n-----END KEY-----"

    assert masked([key], text) == b"************\r\nmno\r\n*****************"


def test_secrets_that_overlap_are_masked_both() -> None:
    assert masked(["abcdef", "defghi"], b"-abcdefghi-") == b"-*********-"
    assert masked(["aaaaaa"], b"a" * 9) == b"*" * 9
    for split in range(12):
        assert in_windows(["abcdef", "defghi"], b"-abcdefghi-", [min(split, 11)]) == b"-*********-"


def test_only_what_may_be_the_beginning_of_a_secret_is_held_back() -> None:
    masker = Masker(["secret-word"])

    assert masker.pending_bytes(b"all of it") == 0
    assert masker.pending_bytes(b"all of it and secret-") == len(b"secret-")
    assert masker.pending_bytes(b"all of it and secret-long") == 0
    assert masker.pending_bytes(b"secret-word") == 0


def test_a_log_without_secrets_is_handed_on_uncopied() -> None:
    chunk = b"anything"

    assert Masker([]).mask_window(chunk, 0, len(chunk)) is chunk
    assert Masker(["short"]).mask_window(chunk, 0, len(chunk)) is chunk
    assert Masker([]).hold_back_bytes == 0


def test_a_text_is_masked_whatever_characters_it_has() -> None:
    assert Masker(["pässword"]).mask_text("ü pässword \udcff") == "ü ********* \udcff"


@given(
    secrets=st.lists(st.text(alphabet="abc", min_size=6, max_size=9), min_size=1, max_size=4),
    text=st.text(alphabet="abc", max_size=60),
    seed=st.integers(0, 1000),
)
def test_the_outcome_does_not_depend_on_the_cuts(secrets: list[str], text: str, seed: int) -> None:
    content = text.encode()
    cuts = sorted(random.Random(seed).randrange(len(content) + 1) for _ in range(5))
    expected = bytearray(content)
    for secret in secrets:
        for start in range(len(content)):
            if content.startswith(secret.encode(), start):
                expected[start : start + len(secret)] = b"*" * len(secret)

    # Forms other than the plain one may only mask more.
    pieced = in_windows(secrets, content, cuts)
    assert pieced == masked(secrets, content)
    assert all(got == want or got == ord("*") for got, want in zip(pieced, expected, strict=True))
    assert all(got == ord("*") for got, want in zip(pieced, expected, strict=True) if want == ord("*"))


def test_two_hundred_secrets_leave_innocent_text_alone() -> None:
    chance = random.Random(7)
    secrets = ["".join(chance.choices("ABCDEFGHJKLMNPQRSTUVWXYZ23456789", k=24)) for _ in range(200)]
    text = b"the quick brown fox jumps over the lazy dog 0123456789\n" * 2000

    assert masked(secrets, text) == text
    for secret in secrets[::20]:
        assert masked(secrets, text[:100] + secret.encode() + b"\n") == text[:100] + b"*" * 24 + b"\n"
