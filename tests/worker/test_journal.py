"""The worker's journal: durable before it answers, fair in shared commits, never a reason not to start."""

import asyncio
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from orchestra.clock import Instant
from orchestra.protocol.messages import Started
from orchestra_worker.attempt import HeldAttempt
from orchestra_worker.attempt_rows import DROP_EVENTS_MIN, adding, deleting, load_attempts, saving
from orchestra_worker.journal import Journal, JournalBroken, open_journal
from orchestra_worker.recorder import AttemptRecorder
from tests.support.clocks import FakeClock
from tests.worker import given

NOW = Instant(1_000_000)


def opened(path: Path, *, threaded: bool = True) -> Journal:
    journal, aside = open_journal(path / "worker.db", now=NOW, threaded=threaded)
    assert aside is None
    return journal


@pytest.mark.parametrize("threaded", [True, False])
async def test_what_was_written_is_there_for_the_next_agent(tmp_path: Path, threaded: bool) -> None:
    journal = opened(tmp_path, threaded=threaded)
    attempt = HeldAttempt(offer=given.offer("true", secrets={"key": "hunter22"}), boot_id="b")
    await journal.write(adding(attempt))
    recorder = AttemptRecorder(journal=journal, clock=FakeClock(), on_written=lambda each: None)
    await recorder.record(attempt, lambda: [Started()])
    journal.close()

    again = opened(tmp_path, threaded=threaded)
    (loaded,) = await again.write(load_attempts)
    again.close()

    assert (loaded.offer, loaded.state, loaded.sequence) == (attempt.offer, attempt.state, 1)
    assert [kept.event for kept in loaded.events] == [kept.event for kept in attempt.events]


async def test_a_change_that_fails_does_not_take_the_others_with_it(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    attempts = [HeldAttempt(offer=given.offer("true", run=run), boot_id="b") for run in (1, 2, 2, 3)]

    outcomes = await asyncio.gather(*(journal.write(adding(each)) for each in attempts), return_exceptions=True)
    loaded = await journal.write(load_attempts)
    journal.close()

    assert [type(each) for each in outcomes] == [type(None), type(None), sqlite3.IntegrityError, type(None)]
    assert [each.offer.run for each in loaded] == [1, 2, 3]


async def test_a_full_disk_delays_an_event_and_never_drops_it(tmp_path: Path) -> None:
    journal = opened(tmp_path, threaded=False)
    attempt = HeldAttempt(offer=given.offer("true"), boot_id="b")
    await journal.write(adding(attempt))
    (pages,) = await journal.write(lambda connection: connection.execute("pragma page_count").fetchone())
    await journal.write(lambda connection: connection.execute(f"pragma max_page_count = {pages}").fetchone())
    recorder = AttemptRecorder(journal=journal, clock=FakeClock(), on_written=lambda each: None)
    attempt.stop_reason = "long " * 4000

    recording = asyncio.create_task(recorder.record(attempt, lambda: [Started()]))
    await asyncio.sleep(0)
    assert not recording.done()
    assert not attempt.events[0].is_written
    await journal.write(lambda connection: connection.execute("pragma max_page_count = 100000").fetchone())
    await recording
    (loaded,) = await journal.write(load_attempts)
    journal.close()

    assert [kept.event for kept in loaded.events] == [attempt.events[0].event]


async def test_acknowledged_events_leave_and_forgotten_attempts_leave_whole(tmp_path: Path) -> None:
    journal = opened(tmp_path, threaded=False)
    attempt = HeldAttempt(offer=given.offer("true"), boot_id="b")
    await journal.write(adding(attempt))
    kept = [attempt.add_event(Started(), NOW) for _ in range(DROP_EVENTS_MIN + 3)]
    await journal.write(saving(attempt, kept))
    left = []
    for acknowledged in (DROP_EVENTS_MIN - 1, DROP_EVENTS_MIN, DROP_EVENTS_MIN + 2):
        attempt.acknowledge(acknowledged)
        await journal.write(saving(attempt))
        (loaded,) = await journal.write(load_attempts)
        left.append(len(loaded.events))
    await journal.write(deleting(attempt.key))

    # In heaps, because each deletion is a statement of its own.
    assert left == [DROP_EVENTS_MIN + 3, 3, 3]
    assert loaded.sequence == DROP_EVENTS_MIN + 3
    assert await journal.write(load_attempts) == []
    journal.close()


@pytest.mark.parametrize("damage", ["noise", "truncated", "newer", "other tables", "no file"])
async def test_an_unusable_file_is_put_aside_and_a_fresh_one_works(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "worker.db"
    opened(tmp_path).close()
    if damage == "noise":
        path.write_bytes(os.urandom(20_000))
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:5000])
    elif damage == "no file":
        path.unlink()
    else:
        connection = sqlite3.connect(path)
        connection.executescript("pragma user_version = 99" if damage == "newer" else "drop table steps")
        connection.close()

    journal, aside = open_journal(path, now=NOW)
    attempts = await journal.write(load_attempts)
    journal.close()

    assert attempts == []
    assert aside == (None if damage == "no file" else path.with_name("worker.db.broken-1000000"))
    assert aside is None or aside.exists()


async def test_damage_that_is_found_in_use_is_told_apart(tmp_path: Path) -> None:
    journal = opened(tmp_path, threaded=False)

    def find_damage(connection: sqlite3.Connection) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(JournalBroken, match=r"worker\.db is damaged .* starts again with a fresh one"):
        await journal.write(find_damage)
    journal.close()


async def test_a_row_that_is_not_understood_counts_as_damage(tmp_path: Path) -> None:
    journal = opened(tmp_path, threaded=False)
    await journal.write(adding(HeldAttempt(offer=given.offer("true"), boot_id="b")))
    await journal.write(lambda connection: connection.execute("update attempts set offer = '{}'").rowcount)

    with pytest.raises(JournalBroken, match="a row is not understood"):
        await journal.write(load_attempts)
    journal.close()


def test_nobody_else_can_read_the_journal(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("worker.db*")}
    journal.close()

    assert set(modes.values()) == {0o600}


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize("threaded", [True, False])
async def test_a_secret_is_in_no_byte_of_the_files_once_its_attempt_is_deleted(tmp_path: Path, threaded: bool) -> None:
    journal = opened(tmp_path, threaded=threaded)
    attempts = [
        HeldAttempt(offer=given.offer("true", run=run, secrets={"key": f"hunter-{run}"}), boot_id="b") for run in (1, 2)
    ]
    for attempt in attempts:
        await journal.write(adding(attempt))

    await journal.write(deleting(attempts[0].key), scrub=True)
    loaded = await journal.write(load_attempts)
    # The scrub waits until nobody waits, and so may come after both answers.
    await given.until(lambda: b"hunter-1" not in bytes_of(tmp_path))
    kept = bytes_of(tmp_path)
    journal.close()

    assert [each.key for each in loaded] == [attempts[1].key]
    assert b"hunter-1" not in kept
    assert b"hunter-2" in kept


async def test_what_waits_for_a_commit_shares_the_next_one_and_closing_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    attempts = [HeldAttempt(offer=given.offer("true", run=run), boot_id="b") for run in range(1, 300)]
    writing = [asyncio.create_task(journal.write(adding(each))) for each in attempts]
    await asyncio.wait(writing, return_when=asyncio.FIRST_COMPLETED)
    seen = await journal.write(load_attempts)
    last = asyncio.create_task(journal.write(adding(HeldAttempt(offer=given.offer("true", run=300), boot_id="b"))))
    await asyncio.sleep(0)
    journal.close()
    again = opened(tmp_path)
    left = await again.write(load_attempts)
    again.close()

    assert [each.offer.run for each in seen] == list(range(1, 300))
    assert [each.offer.run for each in left] == list(range(1, 301))
    assert not last.done()
    last.cancel()
