"""Whose the tokens at the workers' door are: one look-up at a time, for all who have come meanwhile."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field

from sqlalchemy import Connection

from orchestra.clock import Instant, seconds_between
from orchestra.errors import StorageError
from orchestra.identifiers import TokenId
from orchestra.storage.bearers import KnownBearer, find_token, may_connect_worker, note_token_use
from orchestra_master.parts import MasterParts

SECONDS_PER_DAY = 86_400.0
"""A token's use is written down so often."""


@dataclass(eq=False, slots=True)
class _Batch:
    digests: set[str] = field(default_factory=set)
    found: dict[str, KnownBearer] | None = None
    error: StorageError | None = None


class TokenLookUp:
    """Finds out which tokens open the door. However many bad ones are tried, they cost one statement at a time, and
    take nobody's place."""

    def __init__(self, *, parts: MasterParts) -> None:
        self._parts = parts
        self._next = _Batch()
        self._turn = asyncio.Lock()

    async def find(self, digest: str) -> KnownBearer | None:
        """Whose token this is, None if it opens nothing; raises StorageError."""
        batch = self._next
        batch.digests.add(digest)
        async with self._turn:
            if batch.found is None and batch.error is None:
                if batch is self._next:
                    self._next = _Batch()
                try:
                    batch.found = await self.find_all(batch.digests)
                except StorageError as error:
                    batch.error = error
        if batch.error is not None:
            raise batch.error
        return batch.found.get(digest) if batch.found else None

    async def find_all(self, digests: Collection[str]) -> dict[str, KnownBearer]:
        """Those of the tokens that open the door; writes down once a day that they are in use."""
        now = self._parts.clock.now()

        def look(connection: Connection) -> dict[str, KnownBearer]:
            found = {digest: find_token(connection, digest, now=now) for digest in digests}
            return {digest: bearer for digest, bearer in found.items() if bearer and may_connect_worker(bearer)}

        known = await self._parts.database.read(look)
        unused = {token for bearer in known.values() if (token := _token_to_note(bearer, now)) is not None}
        if unused:
            await self._parts.database.write(lambda connection: _note_uses(connection, unused, now))
        return known


def _token_to_note(bearer: KnownBearer, now: Instant) -> TokenId | None:
    """The token, if its use was not written down for a day."""
    is_noted = bearer.used_at is not None and seconds_between(bearer.used_at, now) < SECONDS_PER_DAY
    return None if is_noted else bearer.principal.token_id


def _note_uses(connection: Connection, used: Collection[TokenId], now: Instant) -> None:
    for token in sorted(used):
        note_token_use(connection, token, now=now)
