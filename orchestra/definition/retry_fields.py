"""Reads when a run gets another attempt by itself."""

from orchestra.definition.values import Value
from orchestra.specification import Jitter, RetryPolicy

RETRY_KEYS = ("max-attempts", "wait", "factor", "max-wait", "jitter", "on", "never", "avoid-worker")
_HINTS = {
    "attempts": "did you mean `max-attempts`?",
    "delay": "did you mean `wait`?",
    "backoff": "did you mean `factor`?",
    "ceiling": "did you mean `max-wait`?",
}


def read_retry(value: Value) -> RetryPolicy:
    """The policy, with the usual where nothing, or nothing that can be read, is said."""
    usual = RetryPolicy()
    if value.scalar is not None:
        value.refuse("must be a mapping", "write `retry: { max-attempts: 3, wait: 1m }`")
        return usual
    fields = value.fields(RETRY_KEYS, hints=_HINTS)
    if fields is None:
        return usual
    attempts, wait, factor = fields.get("max-attempts"), fields.get("wait"), fields.get("factor")
    ceiling, jitter, avoid = fields.get("max-wait"), fields.get("jitter"), fields.get("avoid-worker")
    on, never = fields.get("on"), fields.get("never")
    count = attempts.whole("a whole number from 1 to 100") if attempts else None
    seconds = wait.duration() if wait else None
    growth = factor.number() if factor else None
    longest = ceiling.duration() if ceiling else None
    spread = jitter.choice([str(word) for word in Jitter]) if jitter else None
    return RetryPolicy(
        max_attempts=usual.max_attempts if count is None else count,
        wait_seconds=usual.wait_seconds if seconds is None else seconds,
        factor=usual.factor if growth is None else growth,
        max_wait_seconds=usual.max_wait_seconds if longest is None else longest,
        jitter=Jitter(spread) if spread in list(Jitter) else usual.jitter,
        on=_all_causes(on) if on else usual.on,
        never=_all_causes(never) if never else usual.never,
        avoid_worker=(avoid is not None and avoid.truth()) is True,
    )


def _all_causes(value: Value) -> tuple[str, ...]:
    return tuple(found for cause in value.one_or_more() for found in _causes(cause))


def _causes(value: Value) -> tuple[str, ...]:
    if value.scalar is not None:
        return (value.text() or "",)
    fields = value.fields(("exit",))
    codes = fields.get("exit") if fields else None
    return tuple(f"exit:{code.text() or ''}" for code in codes.one_or_more()) if codes else ()
