"""Patterns of parameters: RE2, which takes a time that grows with the text alone, whoever wrote pattern and text.

With backtracking `(a+)+` and thirty letters would keep a server busy for hours, and nothing else would happen there
(https://github.com/google/re2/wiki/WhyRE2).
"""

from functools import lru_cache
from typing import Protocol

from orchestra.errors import OrchestraError

_BYTES_MAX = 1 << 20
"""What a compiled pattern and its states may take."""


class BadPattern(OrchestraError):
    """What cannot be a pattern; `cause` says why."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"its pattern is no regular expression of RE2: {self.cause}"


class PatternEngineMissing(OrchestraError):
    """The library that matches is not installed: a base install validates everything else."""

    def __str__(self) -> str:
        return "matching patterns needs the package google-re2: install this program with its 'server' extra"


class _Compiled(Protocol):
    def fullmatch(self, text: bytes) -> object: ...


def check_pattern(pattern: str) -> None:
    """Raises BadPattern for what can never be matched, and PatternEngineMissing."""
    _compiled(pattern)


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text is what the pattern describes; raises BadPattern and PatternEngineMissing."""
    # As bytes: of a text with half of a surrogate pair the library would break.
    return _compiled(pattern).fullmatch(text.encode(errors="surrogatepass")) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> _Compiled:
    # Loaded with the first pattern: the package takes 3 MiB.
    try:
        import re2
    except ImportError as error:
        raise PatternEngineMissing from error
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _BYTES_MAX
    try:
        compiled: _Compiled = re2.compile(pattern.encode(errors="surrogatepass"), options)
    except re2.error as error:
        raise BadPattern(_cause(error)) from error
    return compiled


def _cause(error: Exception) -> str:
    cause = error.args[0] if error.args else ""
    return cause.decode(errors="replace") if isinstance(cause, bytes) else str(cause)
