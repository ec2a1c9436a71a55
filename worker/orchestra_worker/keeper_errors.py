"""What can go wrong between the agent and its keeper."""

from orchestra.errors import OrchestraError


class KeeperAway(OrchestraError):
    """There is no keeper to talk to, and none could be started."""

    def __init__(self, folder: str, cause: str) -> None:
        super().__init__(folder, cause)
        self.folder = folder
        self.cause = cause

    def __str__(self) -> str:
        return f"the keeper of {self.folder} does not answer ({self.cause}): see keeper.stderr in that folder"


class KeeperRefused(OrchestraError):
    """The keeper could not do what was asked; no process was started."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause

    def __str__(self) -> str:
        return f"the keeper could not do it ({self.cause}): nothing was started, try again when the cause is gone"
