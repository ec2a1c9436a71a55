"""The secret texts that people and programs show: tokens, sign-in links, sessions. Only their digest is ever kept."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from orchestra.limits import TOKEN_BYTES

RandomBytes = Callable[[int], bytes]
"""The port for randomness: so many bytes that nobody can guess."""

_PREFIXES = {"user": "orc_u_", "worker": "orc_w_", "sign-in": "orc_l_", "session": "orc_s_"}
_SHOWN_CHARACTERS = 12
_FORM = re.compile(rf"orc_[uwls]_[0-9a-f]{{{2 * TOKEN_BYTES}}}", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class BearerText:
    """A secret text of one kind: "user", "worker", "sign-in" or "session"."""

    kind: str
    text: str = field(repr=False)

    @property
    def digest(self) -> str:
        """What the database keeps."""
        return digest_of(self.text)

    @property
    def prefix(self) -> str:
        """Its first characters, by which people tell tokens apart."""
        return self.text[:_SHOWN_CHARACTERS]


def new_bearer_text(kind: str, random_bytes: RandomBytes) -> BearerText:
    """A text that was never used before."""
    return BearerText(kind=kind, text=_PREFIXES[kind] + random_bytes(TOKEN_BYTES).hex())


def is_well_formed(text: str) -> bool:
    """Whether the text can be one of ours at all."""
    return _FORM.fullmatch(text) is not None


def digest_of(text: str) -> str:
    """SHA-256 in hexadecimal: enough for 32 random bytes, and cheap for every request."""
    return hashlib.sha256(text.encode()).hexdigest()


def digest_in_header(authorization: str | None) -> str | None:
    """The digest of the token in an `Authorization: Bearer …` header; None if there is none that could be ours."""
    scheme, _, text = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not is_well_formed(text.strip()):
        return None
    return digest_of(text.strip())
