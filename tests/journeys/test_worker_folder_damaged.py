"""A worker whose journal is damaged or gone comes up, says so, and tells the truth about what it cannot know."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gated import GatedJob
from tests.support.journey import Orchestra, end_keeper, lines_of, marked_processes, running, wait_until

PAGE_BYTES = 4096


def overwrite_its_head(folder: Path) -> None:
    with settled(folder).open("r+b") as file:
        file.write(b"this is no database" * 100)


def cut_it(folder: Path) -> None:
    with settled(folder).open("r+b") as file:
        file.truncate(PAGE_BYTES * 2)


def spoil_its_pages(folder: Path) -> None:
    with settled(folder).open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES * 2)


def spoil_an_offer(folder: Path) -> None:
    """SQLite itself cannot see this one."""
    content = settled(folder).read_bytes()
    assert b"gated" in content
    (folder / "worker.db").write_bytes(content.replace(b"gated", b'"\xff{}}'))


def settled(folder: Path) -> Path:
    """The journal with all that was in its write-ahead log, which would repair what the test damages."""
    journal = folder / "worker.db"
    connection = sqlite3.connect(journal)
    connection.execute("pragma wal_checkpoint(truncate)")
    connection.close()
    return journal


def remove_it(folder: Path) -> None:
    for file in folder.glob("worker.db*"):
        file.unlink()


def remove_what_was_written_last(folder: Path) -> None:
    (folder / "worker.db-wal").unlink()


SEEN = (overwrite_its_head, cut_it, spoil_its_pages, spoil_an_offer)


@pytest.mark.parametrize("damage", [*SEEN, remove_it, remove_what_was_written_last])
def test_a_worker_with_an_unusable_journal_comes_up_and_its_run_ends_as_lost(
    up: Orchestra, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "atlas"
    atlas = up.worker(tmp_path, "atlas")
    job = GatedJob(tmp_path, steps=2)
    up.apply(job.definition)
    with running(atlas):
        number = up.trigger("ops/gated")
        job.await_begin(1)
        wait_until(lambda: up.log(number) == job.beginning_of(1), what="the output so far")
        atlas.kill()
        damage(folder)
        atlas.start()
        run = up.finish(number)

        assert run.state == "exception"
        assert "worker lost it" in run.reason
        assert up.log(number) == job.beginning_of(1)
        wait_until(
            lambda: not marked_processes(str(folder / "attempts" / f"{number}-1")), what="the orphaned step to end"
        )
        assert lines_of(job.witness) == ["1 begins 1"]
        if damage in SEEN:
            assert "journal_put_aside" in atlas.output
            assert list(folder.glob("worker.db.broken-*"))
        if damage in (*SEEN, remove_it):
            (kept,) = folder.glob("attempts.broken-*/*/log")
            assert kept.read_bytes().startswith(job.beginning_of(1))  # the shell may have complained at its end
        if damage is remove_it:
            assert "journal_missing" in atlas.output
        job.close_gates()
        job.open(1, 2)
        job.assert_whole(up, up.trigger("ops/gated"))
        wait_until(lambda: not list((folder / "attempts").iterdir()), what="the next run to be forgotten")


@pytest.mark.parametrize("damage", [cut_it, remove_it, remove_what_was_written_last])
def test_a_step_whose_keeper_and_journal_are_both_gone_is_ended_before_the_next_attempt_begins(
    up: Orchestra, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Nobody knows of it then but its own claim, and its run may be tried again beside it."""
    folder = tmp_path / "atlas"
    atlas = up.worker(tmp_path, "atlas")
    job = GatedJob(tmp_path, steps=1, more="    retry: { max-attempts: 2, wait: 0s, on: [lost] }\n")
    up.apply(job.definition)
    with running(atlas):
        number = up.trigger("ops/gated")
        job.await_begin(1)
        atlas.kill()
        end_keeper(folder)
        damage(folder)
        assert marked_processes(str(folder / "attempts" / f"{number}-1")), "the step has ended by itself"
        atlas.start()
        wait_until(lambda: "1 begins 2" in lines_of(job.witness), what="the next attempt")
        assert not marked_processes(str(folder / "attempts" / f"{number}-1"))
        job.open(1)

        assert up.finish(number).state == "succeeded"
        assert lines_of(job.witness) == ["1 begins 1", "1 begins 2", "1 ends"]
