"""Secret parameters at rest: encrypted with a key that is kept in a file of its own, never in the database."""

import base64
import contextlib
import hashlib
import hmac
import os
import tempfile
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from orchestra.errors import FolderUnusable, OrchestraError

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

_KEY_BYTES = 32


class Unsealable(OrchestraError):
    """Secrets that were sealed with another key."""

    def __str__(self) -> str:
        return "the secrets were sealed with another key: bring back the key file, or trigger the run again"


class Sealing:
    """Seals and opens the secrets of runs; also makes keyed fingerprints of what may contain a secret."""

    def __init__(self, *, key: bytes) -> None:
        """The key is 32 bytes in URL-safe base64, as `new_key` makes it."""
        if len(base64.urlsafe_b64decode(key)) != _KEY_BYTES:
            raise ValueError(f"a key is {_KEY_BYTES} bytes in URL-safe base64")
        self._key = key
        self._fingerprint_key = hashlib.sha256(b"fingerprint:" + key).digest()

    def seal(self, secrets: Mapping[str, str]) -> str:
        """The secrets, as text for the database."""
        return self._fernet.encrypt(msgspec.json.encode(secrets)).decode()

    def open(self, sealed: str) -> dict[str, str]:
        """The secrets again; raises Unsealable."""
        from cryptography.fernet import InvalidToken

        try:
            plain = self._fernet.decrypt(sealed.encode())
        except InvalidToken:
            raise Unsealable from None
        return msgspec.json.decode(plain, type=dict[str, str])

    def fingerprint(self, content: bytes) -> str:
        """A digest that tells equal contents, but from which nobody without the key can guess one."""
        return hmac.new(self._fingerprint_key, content, hashlib.sha256).hexdigest()

    @cached_property
    def _fernet(self) -> "Fernet":
        # Loaded with the first secret: it takes 6 MiB of memory, and many installations have no secrets.
        from cryptography.fernet import Fernet

        return Fernet(self._key)


def new_key() -> bytes:
    """A key that nobody has seen."""
    return base64.urlsafe_b64encode(os.urandom(_KEY_BYTES))


def read_or_make_key(path: Path) -> bytes:
    """The key in the file; made (mode 0600) if there is none. Several processes may ask at once: one key wins.

    Raises FolderUnusable.
    """
    try:
        if not path.exists():
            _make_key(path)
        return path.read_bytes().strip()
    except OSError as error:
        raise FolderUnusable(str(path.parent), error.strerror or str(error)) from None


def _make_key(path: Path) -> None:
    # Written aside and linked: a crash never leaves half a key, and the second of two makers keeps the first one's.
    # The file is 0600 from its first moment: mkstemp promises that.
    descriptor, name = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
    aside = Path(name)
    try:
        os.write(descriptor, new_key() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()
    # The name too must survive a power failure: soon committed secrets can be opened by nothing else.
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
