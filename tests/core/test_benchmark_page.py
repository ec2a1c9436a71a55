"""The page of the benchmarks: the program writes verdicts and figures, and leaves to people what is theirs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gates import Gate, Section
from benchmarks.page import CAUSES, FIGURES, VERDICTS, Measured, Page
from benchmarks.rows import Place, Row

ROOT = Path(__file__).parents[2]
SPEED = Gate(what="speed", limit=100, measured=120.0, unit="runs/s", is_at_least=True)
DELAY = Gate(what="delay", limit=10, measured=12.5, unit="ms")
PEER = Gate(what="peer: Celery", limit=1, measured=None)


def never(_: Place) -> Section:
    raise AssertionError("nothing is measured here")


ROWS = (Row(name="fast", title="Fast", measure=never), Row(name="soon", title="Soon", measure=never))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a page that was never filled."""
    parts = ["# Benchmarks", "Words of people."]
    parts += [f"{begin}\n\nold\n\n{end}" for begin, end in (VERDICTS, CAUSES, FIGURES)]
    (tmp_path / "benchmarks.md").write_text("\n\n".join([*parts, "More words.\n"]))
    return tmp_path


def measured(*gates: Gate, table: str = "| a table |") -> Measured:
    return Measured(setting="2026-11-21: two cores.", seconds=1.0, section=Section(gates=gates, tables=(table,)))


def text(folder: Path) -> str:
    return (folder / "benchmarks.md").read_text()


@pytest.mark.parametrize(
    ("gate", "wanted", "found", "holds"),
    [
        (SPEED, "≥ 100 runs/s", "120 runs/s", True),
        (DELAY, "≤ 10 ms", "12.5 ms", False),
        (Gate(what="delay", limit=10, measured=10.0, unit="ms"), "≤ 10 ms", "10.0 ms", True),
        (Gate(what="ratio", limit=0.25, measured=0.2, unit="×", is_at_least=True), "≥ 0.25 ×", "0.20 ×", False),
        (Gate(what="double", limit=0, measured=0.0), "≤ 0", "0", True),
        (PEER, "≤ 1", "absent", False),
        (Gate(what="peer: parallel", limit=0, measured=None), "to be measured", "absent", False),
    ],
)
def test_a_gate_says_whether_the_figure_is_as_wanted(gate: Gate, wanted: str, found: str, holds: bool) -> None:
    assert (gate.wanted, gate.found, gate.holds) == (wanted, found, holds)


def test_verdicts_and_figures_are_written_and_the_words_around_them_stay(folder: Path) -> None:
    Page(folder).write(ROWS, {"fast": measured(SPEED, DELAY, PEER), "soon": measured(table="| another |")})

    page = text(folder)
    assert "| speed | ≥ 100 runs/s | 120 runs/s | yes |" in page
    assert "| delay | ≤ 10 ms | 12.5 ms | **no** |" in page
    assert "| peer: Celery | ≤ 1 | absent | **no** |" in page
    assert "| a table |" in page
    assert "| another |" in page
    assert page.startswith("# Benchmarks\n\nWords of people.")
    assert page.endswith("More words.\n")
    assert "12.5 ms" in (folder / "benchmarks.svg").read_text()


def test_a_row_that_is_not_measured_this_time_keeps_its_figures(folder: Path) -> None:
    Page(folder).write(ROWS, {"fast": measured(SPEED)})

    Page(folder).write(ROWS, {"soon": measured(DELAY)})

    assert "| speed | ≥ 100 runs/s | 120 runs/s | yes |" in text(folder)
    assert "| delay | ≤ 10 ms | 12.5 ms | **no** |" in text(folder)


def test_a_row_that_was_never_measured_is_named_all_the_same(folder: Path) -> None:
    Page(folder).write(ROWS, {"fast": measured(SPEED)})

    assert "| Soon |  | not yet measured | **no** |" in text(folder)


def test_a_shortfall_gets_a_line_for_its_cause_which_is_never_overwritten(folder: Path) -> None:
    Page(folder).write(ROWS, {"fast": measured(SPEED, DELAY)})
    line = "- **delay**: not yet looked into."
    assert text(folder).count(line) == 1
    (folder / "benchmarks.md").write_text(text(folder).replace(line, "- **delay**: the disk\n  is slow."))

    Page(folder).write(ROWS, {"fast": measured(SPEED, DELAY)})

    assert "- **delay**: the disk\n  is slow.\n" in text(folder)
    assert "not yet looked into" not in text(folder)
    assert "**speed**" not in text(folder)


@pytest.mark.parametrize("word", ["--help", "--quck", "idel"])
def test_a_word_that_is_no_row_measures_nothing(word: str) -> None:
    # In a process of its own: the rows bring what real journeys need.
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", word], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert ended.returncode == os.EX_USAGE
    assert f"there is no {word}: rows are latency, " in ended.stderr
