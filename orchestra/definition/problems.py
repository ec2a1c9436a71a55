"""What is wrong with a definition, with its place, so that a person can repair it without searching."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestra.errors import OrchestraError

Path = tuple[str, ...]
"""Where a value stands, in the words of the file: ("jobs", "backup-db", "retry", "max-attempts")."""

_LINE_CHARACTERS_MAX = 120
_LEAD_CHARACTERS = 40


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One thing that is wrong, or (as a hint) only unwise."""

    line: int
    """From 1; 0 if the definition has no text, because it was said in Python."""
    column: int
    """From 1, in characters."""
    length: int
    """Characters of the value on its line."""
    path: Path
    sentence: str
    """Begins with the path."""
    help: str = ""
    """The repair."""


class DefinitionErrors(OrchestraError):
    """A definition that cannot be used: every problem of it at once, in the order of the file."""

    def __init__(self, source: str, problems: Sequence[Problem], text: str = "") -> None:
        super().__init__(source, tuple(problems))
        self.source = source
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        self.text = text

    def __str__(self) -> str:
        first = self.problems[0]
        others = len(self.problems) - 1
        more = f" (and {others} more problem{'s' if others > 1 else ''})" if others else ""
        remedy = f": {first.help}" if first.help else ""
        return f"{_place(self.source, first)}{first.sentence}{more}{remedy}"

    def report(self) -> str:
        """All problems for a terminal, each with its source line, a caret and the repair."""
        return "\n".join(render(problem, self.source, self.text, word="error") for problem in self.problems)


def render(problem: Problem, source: str, text: str, *, word: str = "error") -> str:
    """One problem for a terminal; `word` is "error" or "hint"."""
    lines = [f"{word}: {_place(source, problem)}{problem.sentence}"]
    source_lines = text.splitlines()
    if 0 < problem.line <= len(source_lines):
        lines += _excerpt(problem, source_lines[problem.line - 1])
    if problem.help:
        lines.append(f"help: {problem.help}")
    return "\n".join(lines)


def _place(source: str, problem: Problem) -> str:
    return f"{source}:{problem.line}:{problem.column}: " if problem.line else f"{source}: "


def _excerpt(problem: Problem, line: str) -> list[str]:
    start = problem.column - 1
    mark = ""
    if len(line) > _LINE_CHARACTERS_MAX:
        cut = max(0, start - _LEAD_CHARACTERS)
        line, start = line[cut : cut + _LINE_CHARACTERS_MAX], start - cut
        mark = "…" if cut else ""
    prefix = f"{problem.line:>5} | {mark}"
    # A tab stays a tab, so that the caret stands below its value whatever the terminal makes of it.
    lead = "".join("\t" if character == "\t" else " " for character in line[:start])
    carets = "^" * max(1, min(problem.length, len(line) - start))
    return [prefix + line, " " * len(prefix) + lead + carets]
