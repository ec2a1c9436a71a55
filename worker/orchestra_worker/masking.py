"""Secrets become asterisks of the same length on their way out, so that offsets in a log stay what they are.

A secret is looked for as it is and in the forms in which it usually leaks: base64 (in the three alignments that it can
have inside a longer text), URL-encoded, JSON-escaped, shell-quoted, and each line of a value of several lines. All
occurrences are masked, overlapping ones too, so the outcome for a byte depends on its surroundings alone and not on
how the log was cut into chunks.
"""

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from orchestra.limits import SECRET_BYTES_MIN

FILTER_BYTES_MAX = 12
"""How many of a needle's first bytes are looked at before the needles themselves are compared."""


class Masker:
    """Knows the secrets of one attempt; with none of them it hands out what it was given."""

    def __init__(self, secrets: Iterable[str]) -> None:
        self._needles = sorted({needle for secret in secrets for needle in needles(secret)}, key=len, reverse=True)
        self._by_first: dict[int, list[bytes]] = {}
        for needle in self._needles:
            self._by_first.setdefault(needle[0], []).append(needle)
        self._pattern = _pattern(self._by_first) if self._needles else None

    @property
    def hold_back_bytes(self) -> int:
        """How far before an offset to start reading, so that no secret that ends behind it is missed."""
        return len(self._needles[0]) - 1 if self._needles else 0

    def mask_window(self, window: bytes, start: int, stop: int) -> bytes:
        """`window[start:stop]` masked, if the window reaches `hold_back_bytes` further, or to an end, on both sides."""
        if self._pattern is None:
            return window[start:stop]
        masked: bytearray | None = None
        for first, last in self._found(window):
            masked = bytearray(window) if masked is None else masked
            _fill(masked, first, last)
        return window[start:stop] if masked is None else bytes(masked[start:stop])

    def cut_bytes(self, content: bytes) -> int:
        """How many of the very last bytes of a log are the beginning of a secret, whose rest was never printed or was
        lost: a step may be killed, and a machine lose its power, in the midst of one. As short as innocent text: 0."""
        pending = self.pending_bytes(content)
        return pending if pending >= SECRET_BYTES_MIN else 0

    def mask_text(self, text: str) -> str:
        """A text of ours, a result or an error, without its secrets."""
        if self._pattern is None:
            return text
        content = text.encode("utf-8", "surrogateescape")
        return self.mask_window(content, 0, len(content)).decode("utf-8", "surrogateescape")

    def pending_bytes(self, content: bytes) -> int:
        """How many of the last bytes may be the beginning of a secret whose rest has not come yet."""
        tail = content[-self.hold_back_bytes :] if self.hold_back_bytes else b""
        longest = 0
        for needle in self._needles:
            reach = tail[-(len(needle) - 1) :]
            start = reach.find(needle[:1])
            while start >= 0 and len(reach) - start > longest:
                if needle.startswith(reach[start:]):
                    longest = len(reach) - start
                    break
                start = reach.find(needle[:1], start + 1)
        return longest

    def _found(self, content: bytes) -> Iterator[tuple[int, int]]:
        assert self._pattern is not None, "without secrets nobody looks for them"
        for match in self._pattern.finditer(content):
            start = match.start()
            # Longest first: a shorter one at the same place is inside it.
            needle = next(one for one in self._by_first[content[start]] if content.startswith(one, start))
            yield start, start + len(needle)


def needles(secret: str) -> set[bytes]:
    """The forms of a secret that are looked for; none for one that is too short to be told from innocent text."""
    plain = secret.encode("utf-8", "surrogateescape")
    if len(plain) < SECRET_BYTES_MIN:
        return set()
    texts = {
        quote(plain, safe=""),
        quote(plain),
        quote_plus(plain),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        shlex.quote(secret).strip("'"),
        secret.replace("'", "'\\''"),
        *_python_forms(secret),
    }
    forms = {plain, *(text.encode("utf-8", "surrogateescape") for text in texts), *_base64_forms(plain)}
    forms.update(line for line in plain.splitlines())
    return {form for form in forms if len(form) >= SECRET_BYTES_MIN}


def _python_forms(secret: str) -> tuple[str, str]:
    """As `repr` shows it, which is how our own sentences and many programs' name a value; the apostrophe is escaped or
    not, depending on what else is in the text."""
    escaped = repr("\"'" + secret)[len("'\"\\'") : -1]
    return escaped, escaped.replace("\\'", "'")


def _base64_forms(plain: bytes) -> Iterator[bytes]:
    for before in range(3):
        # The characters at both ends also depend on the neighbours: only those in between are the secret's own.
        first = (before * 8 + 5) // 6
        stop = (before + len(plain)) * 8 // 6
        padded = b"\0" * before + plain
        yield base64.b64encode(padded)[first:stop]
        yield base64.urlsafe_b64encode(padded)[first:stop]


def _pattern(by_first: dict[int, list[bytes]]) -> re.Pattern[bytes]:
    """Matches the first byte of each occurrence.

    Python's engine tries the branches of an alternative one after the other, which is 10 MB/s for 80 needles. The sets
    of bytes that stand at the first, second, … place of any needle throw almost every place out at once, before a
    branch is tried.
    """
    every = [needle for group in by_first.values() for needle in group]
    depth = min(FILTER_BYTES_MAX, min(map(len, every)))
    sets = [_one_of({needle[place] for needle in every}) for place in range(depth)]
    branches = b"|".join(
        b"(?<=%s)(?=%s)" % (re.escape(bytes([first])), b"|".join(re.escape(needle[1:]) for needle in group))
        for first, group in by_first.items()
    )
    return re.compile(sets[0] + b"(?=" + b"".join(sets[1:]) + b")(?:" + branches + b")", re.DOTALL)


def _one_of(values: set[int]) -> bytes:
    return b"[" + b"".join(b"\\x%02x" % value for value in sorted(values)) + b"]"


def _fill(masked: bytearray, start: int, stop: int) -> None:
    masked[start:stop] = b"*" * (stop - start)
