"""Flow control of logs, as a machine that does whatever it likes: windows hold, nothing leaks."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.protocol.window import AttemptKey, LogWindow

RUN_BYTES, WORKER_BYTES = 100, 250
KEYS: list[AttemptKey] = [(RunId(run), AttemptNumber(1)) for run in range(1, 5)]
keys = st.sampled_from(KEYS)


class WindowMachine(RuleBasedStateMachine):
    """Sends what there is room for, acknowledges old, new and foolish lengths, starts and stops at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.window = LogWindow(run_bytes=RUN_BYTES, worker_bytes=WORKER_BYTES)
        self.sent: dict[AttemptKey, int] = {}
        self.acknowledged: dict[AttemptKey, int] = {}

    @rule(key=keys, offset=st.integers(0, 1000))
    def start(self, key: AttemptKey, offset: int) -> None:
        self.window.start(key, offset)
        self.sent[key] = self.acknowledged[key] = offset

    @rule(key=keys)
    def stop(self, key: AttemptKey) -> None:
        self.window.stop(key)
        self.sent.pop(key, None)
        self.acknowledged.pop(key, None)

    @rule(key=keys, wish=st.integers(1, 400))
    def send(self, key: AttemptKey, wish: int) -> None:
        length = min(wish, self.window.room(key))
        if length:
            self.sent[key] += length
            self.window.sent(key, self.sent[key])

    @rule(key=keys, length=st.integers(-5, 3000))
    def acknowledge(self, key: AttemptKey, length: int) -> None:
        self.window.acknowledged(key, length)
        if key in self.sent and self.acknowledged[key] < length <= self.sent[key]:
            self.acknowledged[key] = length

    @invariant()
    def windows_hold(self) -> None:
        under_way = {key: self.sent[key] - self.acknowledged[key] for key in self.sent}
        assert all(0 <= each <= RUN_BYTES for each in under_way.values())
        assert sum(under_way.values()) <= WORKER_BYTES

    @invariant()
    def room_is_what_is_left(self) -> None:
        total = sum(self.sent[key] - self.acknowledged[key] for key in self.sent)
        for key in KEYS:
            own = self.sent[key] - self.acknowledged[key] if key in self.sent else RUN_BYTES
            assert self.window.room(key) == max(0, min(RUN_BYTES - own, WORKER_BYTES - total))

    def teardown(self) -> None:
        """Whatever happened, all of the room comes back."""
        for key in KEYS:
            self.window.stop(key)
        self.window.start(KEYS[0], 0)
        assert self.window.room(KEYS[0]) == RUN_BYTES


WindowMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestWindow = WindowMachine.TestCase


def test_an_attempt_that_was_not_started_has_no_room() -> None:
    window = LogWindow(run_bytes=10, worker_bytes=10)

    assert window.room(KEYS[0]) == 0


def test_what_was_not_started_cannot_be_sent() -> None:
    window = LogWindow(run_bytes=10, worker_bytes=10)

    with pytest.raises(KeyError):
        window.sent(KEYS[0], 1)
