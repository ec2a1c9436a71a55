"""Who writes faster than the master stores has to wait, and nobody is held back for any other reason."""

from orchestra.identifiers import AttemptNumber, RunId
from orchestra.limits import HOLD_SECONDS
from orchestra_worker.back_pressure import RENEW_SECONDS, BackPressure
from tests.support.clocks import FakeClock

KEY = (RunId(7), AttemptNumber(1))


class Held:
    """A back-pressure that allows 100 bytes, and what it asked for."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.asked: list[tuple[str, float]] = []
        self.pressure = BackPressure(
            hold=lambda step, seconds: self.asked.append((step, seconds)), clock=self.clock, backlog_bytes_max=100
        )
        self.pressure.begin_session()
        self.look(length=0, stored=0)

    def look(self, *, length: int, stored: int, step: str = "7-1-1") -> None:
        self.pressure.look(KEY, step, length=length, stored=stored)


def test_a_step_waits_once_too_much_of_its_log_is_not_stored_and_goes_on_below_half_of_it() -> None:
    held = Held()

    held.look(length=110, stored=10)
    held.look(length=112, stored=11)
    assert held.asked == [("7-1-1", HOLD_SECONDS)]
    held.look(length=112, stored=60)
    assert len(held.asked) == 1
    held.look(length=112, stored=62)

    assert held.asked == [("7-1-1", HOLD_SECONDS), ("7-1-1", 0.0)]


def test_what_an_outage_has_left_holds_nobody_back() -> None:
    held = Held()
    held.pressure.end_session()
    held.look(length=5000, stored=0)
    held.pressure.begin_session()

    held.look(length=5000, stored=0)
    for stored in range(50, 5000, 50):
        held.look(length=5000 + stored // 10, stored=stored)
    assert held.asked == []

    held.look(length=5800, stored=4960)
    assert held.asked == [("7-1-1", HOLD_SECONDS)]


def test_a_master_that_stores_nothing_holds_nobody_back_for_long() -> None:
    held = Held()
    held.look(length=50, stored=1)
    held.clock.advance(HOLD_SECONDS - 1.0)

    held.look(length=500, stored=1)
    held.clock.advance(1.0)
    held.look(length=900, stored=1)
    assert held.asked == [("7-1-1", 1.0)]

    held.look(length=900, stored=2)
    assert held.asked[1:] == [("7-1-1", HOLD_SECONDS)]


def test_a_master_of_which_nothing_was_heard_yet_holds_nobody_back() -> None:
    held = Held()

    held.look(length=5000, stored=0)

    assert held.asked == []


def test_a_hold_is_renewed_as_long_as_the_master_stores_and_not_with_every_word_of_it() -> None:
    held = Held()
    held.look(length=1000, stored=1)
    for stored in range(2, 102):
        held.clock.advance(RENEW_SECONDS / 10)
        held.look(length=1000, stored=stored)

    assert 9 <= len(held.asked) - 1 <= 10
    assert {seconds for _, seconds in held.asked} == {HOLD_SECONDS}


def test_the_end_of_the_session_lets_go_and_without_one_nobody_is_held() -> None:
    held = Held()
    held.look(length=1000, stored=1)

    held.pressure.end_session()
    held.look(length=2000, stored=2)
    held.pressure.end_session()

    assert held.asked == [("7-1-1", HOLD_SECONDS), ("7-1-1", 0.0)]


def test_the_next_step_of_an_attempt_is_held_back_anew() -> None:
    held = Held()
    held.look(length=1000, stored=1)

    held.look(length=1000, stored=2, step="7-1-2")

    assert held.asked == [("7-1-1", HOLD_SECONDS), ("7-1-2", HOLD_SECONDS)]


def test_an_attempt_that_was_dropped_is_not_known_any_more() -> None:
    held = Held()
    held.look(length=1000, stored=1)

    held.pressure.drop(KEY)
    held.pressure.end_session()

    assert held.asked == [("7-1-1", HOLD_SECONDS)]
