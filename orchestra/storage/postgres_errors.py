"""What PostgreSQL and the way to it can say, sorted into: away, a conflict worth another try, somebody's own fault."""

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from orchestra.errors import DatabaseAway

# Class 08: connection. 28: authentication. 53: no disk, memory or connection left. 58: its disk fails. Then: shut down,
# crashed, starting up, timed out; no such database; a statement that took too long; a row that another program keeps
# locked for too long.
_AWAY_CLASSES = ("08", "28", "53", "58")
_AWAY_STATES = frozenset({"57P01", "57P02", "57P03", "57P05", "3D000", "57014", "55P03"})
_SLOW = frozenset({"57014", "55P03"})
"""The connection is as good as before: a new one would be as slow."""
_STANDBY = "25006"
"""Read-only transaction: in a reader it is the statement's own fault, in the writer it is the wrong server."""
_CONFLICT_STATES = frozenset({"40001", "40P01"})


def away_from(address: URL, error: BaseException) -> DatabaseAway | None:
    """The error as DatabaseAway, if it says that the database cannot be reached or does not answer."""
    if _is_away(error):
        return away_by(address, error)
    return None


def away_by(address: URL, error: BaseException) -> DatabaseAway:
    """The error, whatever it is, as the reason why there is no database now."""
    return DatabaseAway(shown(address), _first_line(error))


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, so that nobody knows what became of the last statement; and another may work."""
    return _is_away(error) and _state(error) not in _SLOW


def is_standby(error: BaseException) -> bool:
    """Whether a writer has met a server that only reads, as after a failover; a new connection may find another."""
    return _state(error) == _STANDBY


def is_conflict(error: BaseException) -> bool:
    """Whether the transaction met another one and would do well to come again: serialisation failure or deadlock."""
    return _state(error) in _CONFLICT_STATES


def shown(address: URL) -> str:
    """The address for people: as they gave it, without the driver and the password."""
    return address.set(drivername="postgresql").render_as_string(hide_password=True)


def _is_away(error: BaseException) -> bool:
    if isinstance(error, OSError | PoolTimeout):  # asyncio's TimeoutError is an OSError
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    state = _state(error)
    if state is None:
        # The driver's own complaint about a connection that it has seen die.
        return "connection is closed" in str(error) or "connection was closed" in str(error)
    return state.startswith(_AWAY_CLASSES) or state in _AWAY_STATES


def _state(error: BaseException) -> str | None:
    origin = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(origin, "sqlstate", None)
    return state if isinstance(state, str) else None


def _first_line(error: BaseException) -> str:
    origin = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    cause = origin.__cause__ if isinstance(error, DBAPIError) and origin.__cause__ is not None else origin
    lines = str(cause).splitlines()
    return lines[0] if lines else type(cause).__name__
