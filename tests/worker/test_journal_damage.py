"""Every bit of a journal may be flipped: it is put aside or read, and the agent never dies of it."""

import random
import shutil
import sqlite3
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from orchestra.clock import Instant
from orchestra.lifecycle import AttemptState
from orchestra.protocol.messages import Happening, Started, StepEnded, StepStarted
from orchestra.specification import Execution, Step
from orchestra_worker.attempt import HeldAttempt, StepProgress
from orchestra_worker.attempt_rows import adding, load_attempts
from orchestra_worker.journal import JournalBroken, open_journal
from orchestra_worker.plan import StepOutcome
from orchestra_worker.recorder import AttemptRecorder
from tests.support.clocks import FakeClock
from tests.worker import given

NOW = Instant(1_000_000)
TWO_STEPS = Execution(steps=(Step(name="one", run="one"), Step(name="two", run="two")))
HAPPENINGS = [
    Started(),
    StepStarted(step=0, name="one", log_offset=0),
    StepEnded(step=0, exit_code=0, reason="", log_length=5),
]
FLIPS = 1500
"""Of the 18,000 where something is written; all of them were tried once."""


@pytest.fixture
async def journal_file(tmp_path: Path) -> Path:
    """A journal of two attempts in their midst, with nothing in its write-ahead log."""
    path = tmp_path / "worker.db"
    journal, _ = open_journal(path, now=NOW, threaded=False)
    recorder = AttemptRecorder(journal=journal, clock=FakeClock(), on_written=lambda each: None)
    for run in (7, 8):
        attempt = HeldAttempt(offer=given.offer(TWO_STEPS, run=run), boot_id="b")
        await journal.write(adding(attempt))
        await recorder.record(attempt, partial(begin, attempt))
    journal.close()
    return path


def begin(attempt: HeldAttempt) -> Sequence[Happening]:
    attempt.state, attempt.started_boottime = AttemptState.STARTED, 12.5
    attempt.steps = {0: StepProgress(log_start=0, outcome=StepOutcome(exit_code=0, reason=""), log_length=5)}
    attempt.steps[1] = StepProgress(log_start=5)
    return HAPPENINGS


async def open_and_load(path: Path) -> Sequence[HeldAttempt] | None:
    """None if the file was put aside or found broken: the agent then begins anew."""
    journal, aside = open_journal(path, now=NOW, threaded=False)
    try:
        held = await journal.write(load_attempts)
    except JournalBroken:
        return None
    finally:
        journal.close()
    return None if aside else held


async def test_a_flipped_bit_is_noticed_or_harmless_and_kills_no_agent(journal_file: Path, tmp_path: Path) -> None:
    content = journal_file.read_bytes()
    chance = random.Random(1)
    places = [(at, bit) for at, byte in enumerate(content) if byte for bit in range(8)]
    seen = 0
    for number, (at, bit) in enumerate(sorted(chance.sample(places, FLIPS))):
        folder = tmp_path / str(number)
        folder.mkdir()
        flipped = bytearray(content)
        flipped[at] ^= 1 << bit
        (folder / "worker.db").write_bytes(flipped)

        held = await open_and_load(folder / "worker.db")

        seen += held is None
        if held is not None:
            for each in held:
                assert each.key == (each.offer.run, each.offer.attempt), (at, bit)
                assert [kept.event.sequence for kept in each.events] == [1, 2, 3], (at, bit)
                assert each.held(5).sequence == 3, (at, bit)
                # What it would execute and tell is what was written, to the letter.
                assert each.offer == given.offer(TWO_STEPS, run=each.offer.run), (at, bit)
                assert [kept.event.happening for kept in each.events] == HAPPENINGS, (at, bit)
        shutil.rmtree(folder)
    assert 0 < seen < FLIPS


async def test_a_journal_without_sums_is_read_and_goes_on_with_them(journal_file: Path) -> None:
    connection = sqlite3.connect(journal_file)
    connection.execute("update attempts set offer = substr(offer, 6), results = substr(results, 6)")
    connection.execute("update events set body = substr(body, 6)")
    connection.execute("pragma user_version = 1")
    connection.commit()
    connection.close()

    first, again = await open_and_load(journal_file), await open_and_load(journal_file)

    assert first is not None
    assert again is not None
    assert [each.offer for each in first] == [given.offer(TWO_STEPS, run=run) for run in (7, 8)]
    assert [each.offer for each in again] == [each.offer for each in first]
