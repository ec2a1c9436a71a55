"""Frames as a broken or hostile peer sends them: true messages, bent in one or several places by a seeded chance."""

import random
from collections.abc import Callable, Sequence

import msgspec

from orchestra.limits import FRAME_MESSAGES_MAX
from orchestra.protocol.codec import Frame

Json = object
NUMBERS = (0, -1, 1, 2, 2**31 - 1, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**63, 2**64, 2**70, -(2**70), 0.5, 1e308)
TEXTS = ("", "\0", "a\0b", "../../etc", "\u202e", "é" * 100, "x" * 5000, "started", "final", "hello", "{", "💥")
ODD: Sequence[Json] = (None, True, [], {}, [[]], {"": {}}, [0] * 1000, {"type": "hello"})
LITERALS = ("1e999", "-1e999", "NaN", "Infinity", "1" * 400, '"\\ud800"', '"\\u0000"', "[" * 200, "-0", "1e-999", "00")
_PLACE = "@@place@@"

ATTEMPT = {"run": 1, "attempt": 1}
HAPPENINGS: Sequence[dict[str, Json]] = (
    {"kind": "started"},
    {"kind": "step-started", "step": 0, "name": "one", "log_offset": 0},
    {"kind": "step-ended", "step": 0, "exit_code": -9, "reason": "", "log_length": 3},
    {"kind": "results", "values": {"version": "1.2", "list": [1, {"a": None}]}},
    {"kind": "check-in", "progress": 0.5, "text": "half"},
    {
        "kind": "final",
        "outcome": "failed",
        "exit_code": 3,
        "reason": "exit code 3",
        "cause": "exit:3",
        "log_length": 3,
        "log_digest": "00" * 32,
        "lost": [{"offset": 0, "length": 1}],
    },
)
HELLO: dict[str, Json] = {
    "type": "hello",
    "protocol_minimum": 1,
    "protocol_maximum": 1,
    "worker": "guest",
    "instance": "instance",
    "boot_id": "boot",
    "version": "1.0",
    "properties": {"os": "linux", "cores": 4, "fast": True, "load": 0.5},
    "slots": 1,
    "free_disk_bytes": 1 << 40,
    "held": [{**ATTEMPT, "state": "started", "sequence": 1, "log_length": 3}],
}
FROM_WORKER: Sequence[dict[str, Json]] = (
    HELLO,
    {"type": "heartbeat", "counter": 1, "load": 0.5, "free_disk_bytes": 1 << 40},
    {"type": "accept", **ATTEMPT},
    {"type": "refuse", **ATTEMPT, "reason": "no room"},
    *({"type": "event", **ATTEMPT, "sequence": 1, "at": 1, "happening": each} for each in HAPPENINGS),
)
FROM_MASTER: Sequence[dict[str, Json]] = (
    {
        "type": "welcome",
        "protocol": 1,
        "epoch": 1,
        "heartbeat_seconds": 5.0,
        "silence_seconds_max": 13.0,
        "run_window_bytes": 1 << 22,
        "worker_window_bytes": 1 << 25,
        "accepts_runs": True,
    },
    {"type": "resume", **ATTEMPT, "sequence": 1, "log_length": 3},
    {"type": "stop", **ATTEMPT, "reason": "please", "grace_seconds": 1.5},
    {"type": "forget", **ATTEMPT},
    {"type": "go", **ATTEMPT},
    {"type": "acknowledge", **ATTEMPT, "sequence": 1, "log_length": 3},
    {"type": "heartbeat-answer", "counter": 1},
    {"type": "bye", "retry_after_seconds": 2.0, "reason": "restart"},
)


class Mangler:
    """Bends messages of one direction."""

    def __init__(self, chance: random.Random, messages: Sequence[dict[str, Json]] = FROM_WORKER) -> None:
        self._chance = chance
        self._messages = messages

    def frame(self) -> Frame:
        """One frame that is most likely wrong somewhere."""
        bends: Sequence[Callable[[], Frame]] = (
            self._bent,
            self._bent,
            self._bent,
            self._literal,
            self._cut,
            self._chunk,
        )
        return self._chance.choice(bends)()

    def _bent(self) -> str:
        messages = [self._bend(self._some()) for _ in range(self._chance.choice((1, 1, 1, 2, 5)))]
        if self._chance.random() < 0.01:
            messages *= FRAME_MESSAGES_MAX
        return _written(messages)

    def _literal(self) -> str:
        """What no encoder writes: numbers out of range, halves of characters, bare words."""
        message = self._bend(self._some(), value=_PLACE)
        return _written([message]).replace(f'"{_PLACE}"', self._chance.choice(LITERALS))

    def _cut(self) -> str:
        """A frame that ends too early, or with some characters exchanged."""
        text = _written([self._some()])
        place = self._chance.randrange(len(text))
        if self._chance.random() < 0.5:
            return text[:place]
        return text[:place] + chr(self._chance.randrange(1, 0xD7FF)) + text[place + 1 :]

    def _chunk(self) -> bytes:
        fields: list[Json] = [1, 1, 0, b"some bytes"]
        for _ in range(self._chance.randrange(3)):
            fields[self._chance.randrange(len(fields))] = self._value(binary=True)
        if self._chance.random() < 0.2:
            fields = fields[: self._chance.randrange(5)] + [0] * self._chance.randrange(3)
        packed = bytearray(msgspec.msgpack.encode(fields))
        if self._chance.random() < 0.4:
            packed[self._chance.randrange(len(packed))] = self._chance.randrange(256)
        return bytes(packed)

    def _some(self) -> dict[str, Json]:
        return self._chance.choice(self._messages)

    def _value(self, *, binary: bool = False) -> Json:
        kind = self._chance.randrange(3)
        values: Sequence[Json] = (NUMBERS, TEXTS, ODD)[kind]
        value = self._chance.choice(values)
        return 2**63 if binary and isinstance(value, int) and abs(value) >= 2**64 else value

    def _bend(self, message: Json, *, value: Json = ...) -> Json:
        """The message with one value exchanged, left out or added, at any depth."""
        if not isinstance(message, dict | list) or not message:
            return self._value() if value is ... else value
        if isinstance(message, list):
            bent = list(message)
            place = self._chance.randrange(len(bent))
            bent[place] = self._bend(bent[place], value=value)
            return bent
        changed = dict(message)
        name = self._chance.choice(list(changed))
        action = self._chance.randrange(8) if value is ... else 7
        if action == 0:
            del changed[name]
        elif action == 1:
            changed[self._chance.choice(TEXTS)] = self._value()
        else:
            changed[name] = self._bend(changed[name], value=value)
        return changed


def _written(messages: Sequence[Json]) -> str:
    """As JSON, however large the numbers are."""
    return _json(list(messages))


def _json(value: Json) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{_json(str(name))}:{_json(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_json, value)) + "]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return msgspec.json.encode(value).decode()
