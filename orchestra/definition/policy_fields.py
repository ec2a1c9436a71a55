"""Reads when runs of a job may start: `concurrency`, `locks`, `rate`, `unique`, `poison`."""

import re
from collections.abc import Iterator, Mapping

from orchestra.definition.document import Mapping as MappingNode
from orchestra.definition.values import Fields, Value, describe_node, did_you_mean
from orchestra.durations import BadDuration, parse_duration
from orchestra.policies import (
    NO_POLICIES,
    Concurrency,
    Conflict,
    LockDemand,
    PoisonGuard,
    Policies,
    Rate,
    Uniqueness,
    UniqueScope,
    WhenFull,
)

POLICY_KEYS = ("concurrency", "locks", "rate", "unique", "poison")
# No more digits than Python would read without complaint, and a sentence about the bound needs.
_RATE = re.compile(r"\s*([0-9]{1,15})\s+per\s+(\S.*?)\s*")
_LOCK_KEYS = ("name", "count")
_UNIQUE_HINTS = {
    "window": "did you mean `scope: window 1h`?",
    "on-conflict": "did you mean `conflict`?",
    "name": "did you mean `key`?",
}
_CONCURRENCY_HINTS = {
    "max": "did you mean `limit`?",
    "name": "did you mean `group`?",
    "key": "did you mean `group`?",
    "cancel-in-progress": "did you mean `when-full: cancel-running`?",
    "on-full": "did you mean `when-full`?",
}


def read_policies(fields: Fields) -> Policies:
    """The policies of a job, with nothing where nothing, or nothing that can be read, is said."""
    concurrency, locks, rate, unique, poison = (fields.get(key) for key in POLICY_KEYS)
    found = Policies(
        concurrency=_concurrency(concurrency) if concurrency else None,
        locks=tuple(_locks(locks)) if locks else (),
        rate=_rate(rate) if rate else None,
        unique=_unique(unique) if unique else None,
        poison=_poison(poison) if poison else None,
    )
    return NO_POLICIES if found == NO_POLICIES else found


def _concurrency(value: Value) -> Concurrency | None:
    if value.scalar is not None:
        if isinstance(value.scalar.value, str):
            sentence = f"must be a whole number, or a mapping, got {describe_node(value.node)}"
            value.refuse(sentence, 'write `concurrency: 1`, or `concurrency: { group: "deploy-{parameters.env}" }`')
            return None
        limit = value.whole("a whole number, or a mapping")
        return None if limit is None else Concurrency(limit=limit)
    fields = value.fields(("group", "limit", "when-full"), hints=_CONCURRENCY_HINTS)
    if fields is None:
        return None
    group, most, full = fields.get("group"), fields.get("limit"), fields.get("when-full")
    limit = most.whole() if most else None
    word = full.choice([str(each) for each in WhenFull]) if full else None
    return Concurrency(
        group=group.text("the name of a group") if group else None,
        limit=1 if limit is None else limit,
        when_full=WhenFull(word) if word in list(WhenFull) else WhenFull.QUEUE,
    )


def _locks(value: Value) -> Iterator[LockDemand]:
    items = value.one_or_more()
    if not items:
        value.refuse("names no lock", "write `locks: [production]`, or remove the key")
    for item in items:
        lock = _lock(item)
        if lock is not None:
            yield lock


def _lock(value: Value) -> LockDemand | None:
    if value.scalar is not None:
        name = value.text("the name of a lock")
        return None if name is None else LockDemand(name=name)
    # As a project declares them: `{ license: 2 }`.
    entries = value.node.entries if isinstance(value.node, MappingNode) else ()
    strangers = [entry.key for entry in entries if entry.key not in _LOCK_KEYS]
    hints = {name: f"write `{{ name: {name}, count: 2 }}`" for name in strangers}
    fields = value.fields(_LOCK_KEYS, hints={**hints, "limit": "did you mean `count`?", "lock": "did you mean `name`?"})
    if fields is None:
        return None
    named, count = fields.get("name"), fields.get("count")
    if "name" not in fields.values and not strangers:
        value.refuse("names no lock", "write `{ name: license, count: 2 }`")
    name = named.text("the name of a lock") if named else None
    many = count.whole() if count else None
    return None if name is None else LockDemand(name=name, count=1 if many is None else many)


def _rate(value: Value) -> Rate | None:
    if value.scalar is not None:
        parts = _RATE.fullmatch(value.scalar.written)
        seconds = _seconds(parts[2]) if parts else None
        if parts is None or seconds is None:
            value.refuse(f"must be so many starts per time, got {describe_node(value.node)}", "write `rate: 10 per 1m`")
            return None
        return Rate(starts=int(parts[1]), per_seconds=seconds)
    hints = {"limit": "did you mean `starts`?", "within": "did you mean `per`?"}
    starts, per = _both(value, ("starts", "per"), hints, "write `rate: { starts: 10, per: 1m }`")
    count = starts.whole() if starts else None
    length = per.duration() if per else None
    return None if count is None or length is None else Rate(starts=count, per_seconds=length)


def _unique(value: Value) -> Uniqueness | None:
    if value.scalar is not None:
        key = value.text("the text that is unique")
        return None if key is None else Uniqueness(key=key)
    fields = value.fields(("key", "scope", "conflict"), hints=_UNIQUE_HINTS)
    if fields is None:
        return None
    named, scope, conflict = fields.get("key"), fields.get("scope"), fields.get("conflict")
    if "key" not in fields.values:
        value.refuse("does not say what is unique", 'add `key: "{parameters.NAME}"`')
    key = named.text("the text that is unique") if named else None
    reach, seconds = _scope(scope) if scope else (UniqueScope.ACTIVE, None)
    word = conflict.choice([str(each) for each in Conflict]) if conflict else None
    if key is None:
        return None
    answer = Conflict(word) if word in list(Conflict) else Conflict.REJECT
    return Uniqueness(key=key, scope=reach, window_seconds=seconds, conflict=answer)


def _scope(value: Value) -> tuple[UniqueScope, float | None]:
    """`pending`, `active`, `window 1h`, or `{ window: 1h }`."""
    if value.scalar is None:
        fields = value.fields(("window",))
        window = fields.get("window") if fields else None
        seconds = window.duration() if window else None
        return (UniqueScope.ACTIVE, None) if seconds is None else (UniqueScope.WINDOW, seconds)
    verb, _, length = value.scalar.written.strip().partition(" ")
    if verb in (UniqueScope.PENDING, UniqueScope.ACTIVE) and not length:
        return UniqueScope(verb), None
    seconds = _seconds(length) if verb == UniqueScope.WINDOW else None
    if seconds is not None:
        return UniqueScope.WINDOW, seconds
    sentence = f"must be pending, active, or window with a duration, got {describe_node(value.node)}"
    value.refuse(sentence, did_you_mean(verb, ("pending", "active")) or "write `scope: active`, or `scope: window 1h`")
    return UniqueScope.ACTIVE, None


def _poison(value: Value) -> PoisonGuard | None:
    remedy = "write `poison: { lost: 3, within: 1h }`"
    if value.scalar is not None:
        value.refuse(f"must be a mapping, got {describe_node(value.node)}", remedy)
        return None
    hints = {"attempts": "did you mean `lost`?", "per": "did you mean `within`?", "window": "did you mean `within`?"}
    lost, within = _both(value, ("lost", "within"), hints, remedy)
    count = lost.whole() if lost else None
    length = within.duration() if within else None
    return None if count is None or length is None else PoisonGuard(lost=count, within_seconds=length)


def _both(
    value: Value, keys: tuple[str, str], hints: Mapping[str, str], remedy: str
) -> tuple[Value | None, Value | None]:
    """The values of a mapping that needs both of its keys."""
    fields = value.fields(keys, hints=hints)
    if fields is None:
        return None, None
    missing = [key for key in keys if key not in fields.values]
    if missing:
        value.refuse(f"says no `{'` and no `'.join(missing)}`", remedy)
    return fields.get(keys[0]), fields.get(keys[1])


def _seconds(text: str) -> float | None:
    try:
        return parse_duration(text)
    except BadDuration:
        return None
