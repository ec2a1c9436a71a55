"""Passwords: slow on purpose, therefore in one thread of their own with a short queue."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from orchestra.commands.common_passwords import is_common
from orchestra.errors import InvalidFields, Overloaded
from orchestra.limits import (
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
    PASSWORD_ROUNDS,
    PASSWORD_SALT_BYTES,
    SIGN_IN_QUEUE_MAX,
)

if TYPE_CHECKING:
    from passlib.hash import pbkdf2_sha256

T = TypeVar("T")
_RETRY_AFTER_SECONDS = 5


class Passwords:
    """Hashes and verifies passwords by PBKDF2-SHA256; `close` it at the end."""

    def __init__(self, *, rounds: int = PASSWORD_ROUNDS, waiting_max: int = SIGN_IN_QUEUE_MAX) -> None:
        self._rounds = rounds
        self._waiting_max = waiting_max
        self._waiting = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="passwords")
        # Verified when there is no such user, so that the answer takes equally long. No password has it.
        filler = base64.b64encode(bytes(PASSWORD_SALT_BYTES)).decode().rstrip("=")
        self._dummy = f"$pbkdf2-sha256${rounds}${filler}${filler}"

    async def hash(self, password: str) -> str:
        """The hash with its parameters and a new salt; raises Overloaded."""
        return await self._in_thread(lambda: str(self._scheme.hash(password)))

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password belongs to the hash; None never fits, but takes as long. Raises Overloaded."""
        known = password_hash or self._dummy
        # Longer than any password that can be set: not worth a hash of megabytes.
        fits = await self._in_thread(lambda: bool(self._scheme.verify(password[:PASSWORD_CHARACTERS_MAX], known)))
        return fits and password_hash is not None and len(password) <= PASSWORD_CHARACTERS_MAX

    def needs_renewal(self, password_hash: str) -> bool:
        """Whether the hash was made with other parameters than today's."""
        return bool(self._scheme.needs_update(password_hash))

    @cached_property
    def _scheme(self) -> "type[pbkdf2_sha256]":
        # Loaded with the first password, in the thread: who comes with tokens and links needs none.
        from passlib.hash import pbkdf2_sha256

        scheme: type[pbkdf2_sha256] = pbkdf2_sha256.using(rounds=self._rounds, salt_size=PASSWORD_SALT_BYTES)
        return scheme

    def close(self) -> None:
        """Lets the thread go."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._waiting >= self._waiting_max:
            raise Overloaded("sign-in", _RETRY_AFTER_SECONDS)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        finally:
            self._waiting -= 1


def check_password(password: str, pointer: str, *, name: str = "") -> None:
    """Raises InvalidFields for a password that is too short, too long, or one that is tried first."""
    if not PASSWORD_CHARACTERS_MIN <= len(password) <= PASSWORD_CHARACTERS_MAX:
        sentence = f"must have {PASSWORD_CHARACTERS_MIN} to {PASSWORD_CHARACTERS_MAX} characters"
        raise InvalidFields([(pointer, sentence)])
    if is_common(password, name=name):
        raise InvalidFields([(pointer, "is among those that are tried first: take another, several words for example")])
