"""Errors of the command line: a sentence, what to do next, and the exit code."""

from orchestra.cli.exits import ExitCode
from orchestra.errors import OrchestraError


class CommandFailed(OrchestraError):
    """A command ends here; its sentence says why and its help what to do."""

    def __init__(self, sentence: str, *, remedy: str = "", code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(sentence, remedy, code)
        self.sentence = sentence
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        return self.sentence
