"""The files that a master applies: at its start, when they change, and never a bad one."""

from pathlib import Path

import pytest

from orchestra.storage.database import Database
from orchestra.storage.jobs import find_job
from orchestra_master.definition_watch import DefinitionWatch
from tests.support.clocks import FakeClock

GOOD = "orchestra: 1\nproject: ops\njobs:\n  tidy: { run: ./tidy.sh }\n"


async def script_of(database: Database, project: str = "ops") -> str | None:
    """What the job executes now."""
    job = await database.read(lambda c: find_job(c, project, "tidy"))
    return job.specification.execution.steps[0].run


async def test_a_file_is_applied_at_the_start_and_when_it_changes(sqlite_database: Database, tmp_path: Path) -> None:
    file = tmp_path / "orchestra.yaml"
    file.write_text(GOOD)
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=file)

    first, second = await watch.apply_once(), await watch.apply_once()
    file.write_text(GOOD.replace("./tidy.sh", "./other.sh"))
    third = await watch.apply_once()

    assert (first, second, third) == (1, 0, 1)
    assert await script_of(sqlite_database) == "./other.sh"


async def test_a_bad_file_keeps_the_last_good_definition_and_is_reported_once(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "orchestra.yaml"
    file.write_text(GOOD)
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=file)
    await watch.apply_once()

    file.write_text(GOOD.replace("run:", "runn:"))
    for _ in range(3):
        await watch.apply_once()

    assert await script_of(sqlite_database) == "./tidy.sh"
    assert caplog.text.count("definition_refused") == 1
    assert "did you mean `run`?" in caplog.text


async def test_all_files_of_a_folder_are_applied_and_a_stolen_project_is_refused(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    (tmp_path / "b.yml").write_text(GOOD.replace("ops", "shop"))
    (tmp_path / "c.yaml").write_text(GOOD.replace("./tidy.sh", "./thief.sh"))
    (tmp_path / "notes.txt").write_text("not a definition")
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=tmp_path)

    changed = await watch.apply_once()

    assert changed == 2
    assert await script_of(sqlite_database) == "./tidy.sh"
    assert await script_of(sqlite_database, "shop") == "./tidy.sh"
    assert "belongs to the file" in caplog.text


async def test_a_file_that_is_missing_or_no_text_is_said_and_tried_again(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "orchestra.yaml"
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=file)
    await watch.apply_once()
    file.write_bytes(b"\xff\xfe")
    await watch.apply_once()
    file.write_text(GOOD)

    changed = await watch.apply_once()

    assert changed == 1
    assert "No such file" in caplog.text
    assert "no UTF-8" in caplog.text


async def test_a_pipeline_waits_for_the_file_that_has_its_job(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = "jobs:\n  tidy: { run: make }\n  all: { elements: { a: { job: later/tidy }, b: { job: tidy } } }\n"
    (tmp_path / "a.yaml").write_text(f"orchestra: 1\nproject: early\n{pipeline}")
    (tmp_path / "b.yaml").write_text(f"orchestra: 1\nproject: never\n{pipeline.replace('later', 'nowhere')}")
    (tmp_path / "c.yaml").write_text(GOOD.replace("ops", "later"))
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=tmp_path)

    counts = [await watch.apply_once() for _ in range(3)]

    assert counts == [1, 1, 0]
    assert await script_of(sqlite_database, "early") == "make"
    assert caplog.text.count("names the unknown job `later/tidy`") == 1
    assert caplog.text.count("names the unknown job `nowhere/tidy`") == 1


async def test_a_job_that_takes_several_of_a_lock_waits_for_the_file_that_declares_it(
    sqlite_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    takes = "jobs:\n  tidy: { run: make, locks: [{ name: license, count: 2 }] }\n"
    (tmp_path / "a.yaml").write_text(f"orchestra: 1\nproject: ops\n{takes}")
    (tmp_path / "b.yaml").write_text("orchestra: 1\nproject: tools\nlocks: { license: 2 }\n")
    watch = DefinitionWatch(database=sqlite_database, clock=FakeClock(), path=tmp_path)

    changed = [await watch.apply_once() for _ in range(3)]

    assert changed == [1, 1, 0]
    assert await script_of(sqlite_database) == "make"
    assert caplog.text.count("definition_refused") == 1
