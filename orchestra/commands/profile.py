"""The own account: the zone in which one reads instants, and one's sessions."""

from functools import cache
from zoneinfo import available_timezones

import msgspec
from sqlalchemy import Connection

from orchestra.clock import Clock
from orchestra.errors import InvalidFields, NotFound
from orchestra.policy import Permission, Principal
from orchestra.storage.access import find_user, set_zone
from orchestra.storage.audit import record_change
from orchestra.storage.database import Database
from orchestra.storage.sessions import end_session_of, end_sessions


class ProfileChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be other; None stays as it is."""

    zone: str | None = None
    """An IANA name such as Europe/Paris."""


@cache
def zones() -> tuple[str, ...]:
    """The names of all zones that this machine knows, in the order of the alphabet."""
    return tuple(sorted(available_timezones()))


class Profile:
    """What everybody may change of the own account, beside the password; each with its audit entry."""

    def __init__(self, *, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def change(self, who: Principal, change: ProfileChange) -> None:
        """Changes the profile; raises InvalidFields for a zone that nobody knows."""
        who.require(Permission.OWN_ACCOUNT)
        zone, now = change.zone, self._clock.now()
        if zone is None:
            return
        if zone not in zones():
            raise InvalidFields([("/zone", f"{zone[:60]!r} is no time zone: use a name such as Europe/Paris, or UTC")])

        def alter(connection: Connection) -> None:
            before = find_user(connection, who.name, lock=True).zone
            if before == zone:
                return
            set_zone(connection, who.user_id, zone=zone)
            record_change(
                connection,
                who,
                at=now,
                action="profile_changed",
                subject=f"user {who.name}",
                before={"zone": before},
                after={"zone": zone},
            )

        await self._database.write(alter)

    async def end_session(self, who: Principal, session: int) -> None:
        """Ends one of the own sessions; raises NotFound for another's, and for one that has ended."""
        now = self._clock.now()

        def end(connection: Connection) -> None:
            if not end_session_of(connection, who.user_id, session):
                raise NotFound("session", session)
            record_change(
                connection, who, at=now, action="session_ended", subject=f"user {who.name}", detail=f"session {session}"
            )

        await self._database.write(end)

    async def end_all_sessions(self, who: Principal) -> None:
        """Signs out everywhere, here too."""
        now = self._clock.now()

        def end(connection: Connection) -> None:
            if ended := end_sessions(connection, who.user_id):
                detail = f"{ended} sessions"
                record_change(
                    connection, who, at=now, action="sessions_ended", subject=f"user {who.name}", detail=detail
                )

        await self._database.write(end)
