"""The page of the benchmarks: figures and verdicts are written by the program, causes of shortfalls by people."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.gates import Gate, Section
from benchmarks.plot import plot_gates
from benchmarks.rows import Row
from benchmarks.table import plain_table

DOCS = Path(__file__).parents[1] / "docs"
FIGURES = ("<!-- figures: written by `make bench` -->", "<!-- end of figures -->")
VERDICTS = ("<!-- verdicts: written by `make bench` -->", "<!-- end of verdicts -->")
CAUSES = ("<!-- causes: written by people, `make bench` only adds the names -->", "<!-- end of causes -->")
DRAWN = "How much of each limit is used: a bar that passes the line at 1 uses more than is wanted"
UNKNOWN_CAUSE = "not yet looked into."


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """A row's section, and where and when it was measured."""

    setting: str
    seconds: float
    section: Section


class Page:
    """`benchmarks.md` with its drawing, and `benchmarks.json`, which remembers rows that are not measured this time."""

    def __init__(self, folder: Path = DOCS) -> None:
        self._page, self._plot, self._memory = (folder / f"benchmarks.{kind}" for kind in ("md", "svg", "json"))

    def write(self, rows: Sequence[Row], measured: Mapping[str, Measured]) -> None:
        """Puts what was measured now in its place, and leaves everything else as it is."""
        known = {**self._remembered(), **measured}
        shown = [(row, known[row.name]) for row in rows if row.name in known]
        kept = {row.name: found for row, found in shown}
        self._memory.write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
        self._plot.write_text(plot_gates([(row.title, found.section.gates) for row, found in shown]))
        text = self._page.read_text()
        misses = [gate.what for _, found in shown for gate in found.section.gates if not gate.holds]
        text = _replaced(text, VERDICTS, f"{_verdicts(rows, known)}\n\n![{DRAWN}](benchmarks.svg)")
        text = _replaced(text, CAUSES, _with_names(_between(text, CAUSES), misses))
        text = _replaced(text, FIGURES, "\n\n".join(part for row, found in shown for part in _figures(row, found)))
        self._page.write_text(text)

    def _remembered(self) -> dict[str, Measured]:
        if not self._memory.exists():
            return {}
        return msgspec.json.decode(self._memory.read_bytes(), type=dict[str, Measured])


def _verdicts(rows: Sequence[Row], known: Mapping[str, Measured]) -> str:
    """A row that was never measured has a line too."""
    lines = []
    for row in rows:
        gates = known[row.name].section.gates if row.name in known else ()
        lines += [_verdict(gate) for gate in gates] or [(row.title, "", "not yet measured", "**no**")]
    return plain_table(("", "wanted", "measured", "holds?"), lines)


def _verdict(gate: Gate) -> tuple[str, str, str, str]:
    return (gate.what, gate.wanted, gate.found, "yes" if gate.holds else "**no**")


def _figures(row: Row, found: Measured) -> list[str]:
    foot = f"<sub>{found.setting} Measured in {found.seconds:.0f} s by `python -m benchmarks.{row.name}`.</sub>"
    return [f"### {row.title}", *found.section.tables, foot]


def _with_names(causes: str, misses: Sequence[str]) -> str:
    """Each shortfall has a line; those that are there stay, also when the figure holds by now."""
    lines = causes.splitlines()
    lines += [f"- **{what}**: {UNKNOWN_CAUSE}" for what in misses if f"- **{what}**:" not in causes]
    return "\n".join(lines)


def _between(text: str, marks: tuple[str, str]) -> str:
    return text.partition(marks[0])[2].partition(marks[1])[0].strip("\n")


def _replaced(text: str, marks: tuple[str, str], section: str) -> str:
    before, found, rest = text.partition(marks[0])
    if not found:
        raise ValueError(f"the page has no {marks[0]}")
    after = rest.partition(marks[1])[2]
    return f"{before}{marks[0]}\n\n{section}\n\n{marks[1]}{after}"
