"""The job's side of the truth: every execution leaves lines in a file that the product knows nothing of."""

import threading
from dataclasses import dataclass
from pathlib import Path

from tests.support.journey import wait_until

BEGINS, BEAT, ENDS = "begins", "beat", "ends"

# The clock is that of /proc/uptime: the shell reads it without another process, it never goes back, and it counts in
# 10 ms. What came before what is told by the order of the lines, which O_APPEND makes exact on one machine.
_SCRIPT = """\
note() {{
  read -r up _ < /proc/uptime
  echo "$ORCHESTRA_RUN $ORCHESTRA_ATTEMPT $$ $1 ${{up%.*}}${{up#*.}}0000000" >> '{file}'
}}
begins() {{ note begins; }}
beat() {{ note beat; }}
ends() {{ note ends; }}
"""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: `run attempt pid word nanoseconds`."""

    run: int
    attempt: int
    pid: int
    word: str
    at_nanoseconds: int


@dataclass(frozen=True, kw_only=True)
class Execution:
    """What one process has written: where in the file it began and where it was last alive."""

    run: int
    attempt: int
    pid: int
    first: int
    """The number of its first line in the file."""
    last: int
    began_at_nanoseconds: int
    last_at_nanoseconds: int
    has_ended: bool
    """Whether it came to its own end, rather than being killed before."""


class Witness:
    """A file of lines, and the shell functions `begins`, `beat` and `ends` that append one each.

    In a definition, `run:` begins with the line `. {witness.script}` and calls them; `$$` is the execution.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "witness"
        self.script = folder / "witness.sh"
        self.script.write_text(_SCRIPT.format(file=self.file))
        self._lines: list[Line] = []
        self._read_bytes = 0
        self._reading = threading.Lock()

    def lines(self) -> list[Line]:
        """All that was written so far; ValueError for a line that no execution has written."""
        with self._reading:
            if self.file.exists():
                with self.file.open("rb") as file:
                    file.seek(self._read_bytes)
                    # The last piece is empty, or a line that is not whole yet.
                    fresh = file.read().split(b"\n")[:-1]
                self._lines += [_line(text.decode()) for text in fresh]
                self._read_bytes += sum(len(text) + 1 for text in fresh)
            return list(self._lines)

    def executions(self) -> list[Execution]:
        """By process, in the order in which they began."""
        found: dict[tuple[int, int, int], list[tuple[int, Line]]] = {}
        for number, line in enumerate(self.lines()):
            # A pid may come again; a process says "begins" once.
            key = (line.run, line.attempt, line.pid)
            if line.word == BEGINS and key in found:
                found[(line.run, line.attempt, -number)] = found.pop(key)
            found.setdefault(key, []).append((number, line))
        return sorted((_execution(lines) for lines in found.values()), key=lambda one: one.first)

    def count(self, word: str) -> int:
        """How many lines say this word."""
        return sum(line.word == word for line in self.lines())

    def runs(self, word: str) -> set[int]:
        """The runs of which an execution has said this word."""
        return {line.run for line in self.lines() if line.word == word}

    def await_count(self, word: str, count: int, *, seconds: float = 60.0) -> None:
        """Waits until so many lines say this word."""
        wait_until(lambda: self.count(word) >= count, seconds=seconds, what=f"{count} lines that say {word}")


def _line(text: str) -> Line:
    run, attempt, pid, word, at = text.split(" ")
    return Line(run=int(run), attempt=int(attempt), pid=int(pid), word=word, at_nanoseconds=int(at))


def _execution(lines: list[tuple[int, Line]]) -> Execution:
    (first, begin), (last, end) = lines[0], lines[-1]
    return Execution(
        run=begin.run,
        attempt=begin.attempt,
        pid=begin.pid,
        first=first,
        last=last,
        began_at_nanoseconds=begin.at_nanoseconds,
        last_at_nanoseconds=end.at_nanoseconds,
        has_ended=end.word == ENDS,
    )
