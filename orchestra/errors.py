"""Every error of the product, as one tree: a class carries data, its text is a lower-case sentence with the remedy."""

from collections.abc import Sequence


class OrchestraError(Exception):
    """The root: something that a person can be told in one sentence."""


# --- words ---


class BadName(OrchestraError):
    """A text cannot name a project, job, worker, user or parameter."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        form = "project/job, each of" if self.kind == "job" and "/" not in self.text else "1 to 64 of"
        return f"{self.text[:80]!r} is no {self.kind} name: use {form} a-z 0-9 . _ - with a letter or digit first"


class ImpossibleTransition(OrchestraError):
    """A life was asked to take a step that its table does not have."""

    def __init__(self, state: str, event: str) -> None:
        super().__init__(state, event)
        self.state = state
        self.event = event

    def __str__(self) -> str:
        return f"what is {self.state} cannot become anything by {self.event!r}"


# --- asking for what is not there, or is not allowed ---


class NotFound(OrchestraError):
    """A project, job, run, worker, user or schedule that nobody knows (or that this person may not see)."""

    def __init__(self, kind: str, name: str | int) -> None:
        super().__init__(kind, name)
        self.kind = kind
        self.name = name

    def __str__(self) -> str:
        name = f"#{self.name}" if isinstance(self.name, int) else repr(self.name)
        return f"there is no {self.kind} {name}"


class NotSignedIn(OrchestraError):
    """A request without a valid token, session or password."""

    def __str__(self) -> str:
        return "sign in first: send a valid token in the Authorization header"


class NotAllowed(OrchestraError):
    """A person is known, but lacks the right."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action

    def __str__(self) -> str:
        return f"you lack the permission {self.action!r}: ask an administrator for a role that has it"


class NotAsked(NotAllowed):
    """An approval asks others."""

    def __init__(self, element: str, asked: tuple[str, ...]) -> None:
        super().__init__(f"answer {element}")
        self.element = element
        self.asked = asked

    def __str__(self) -> str:
        return f"{self.element} asks {', '.join(self.asked)}, and you are none of them: let one of them answer"


class Conflict(OrchestraError):
    """A change that the present state of things forbids; the sentence is made by who raises it."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class ChangedSincePlan(Conflict):
    """Somebody else has changed a project's definition since this change was planned."""

    def __init__(self, project: str, planned_on: str, found: str | None) -> None:
        super().__init__(f"the definition of {project!r} has changed since this plan was made: plan again, then apply")
        self.project = project
        self.planned_on = planned_on
        self.found = found


class RunInTheWay(Conflict):
    """A run is not made because of another one, by the policies of its job."""

    def __init__(self, job: str, run: int, words: str, remedy: str) -> None:
        super().__init__(f"no run of {job} was made, because {words}: {remedy}")
        self.job = job
        self.run = run


class Overloaded(OrchestraError):
    """A bounded queue is full; what was accepted before is not affected."""

    def __init__(self, what: str, retry_after_seconds: int) -> None:
        super().__init__(what, retry_after_seconds)
        self.what = what
        self.retry_after_seconds = retry_after_seconds

    def __str__(self) -> str:
        return f"{self.what} is busy: try again in {self.retry_after_seconds} s"


class InvalidFields(OrchestraError):
    """A request whose fields are wrong: each as (JSON pointer, sentence)."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(tuple(problems))
        self.problems = tuple(problems)

    @property
    def by_field(self) -> list[tuple[str, str]]:
        """Each as (field, sentence): forms have names instead of pointers."""
        return [(pointer.lstrip("/"), sentence) for pointer, sentence in self.problems]

    def __str__(self) -> str:
        return "; ".join(f"{pointer}: {sentence}" for pointer, sentence in self.problems)


# --- storage ---


class StorageError(OrchestraError):
    """The root of what can go wrong with the database and the folders."""


class DatabaseAway(StorageError):
    """The database does not answer; nothing was changed."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(address, cause)
        self.address = address
        self.cause = cause

    def __str__(self) -> str:
        return f"the database {self.address} does not answer ({self.cause}): start it, or correct --database"


class OutcomeUnknown(StorageError):
    """The connection was lost during COMMIT: the change may or may not be there, and must not be replayed blindly."""

    def __str__(self) -> str:
        return "the database connection was lost while it committed: the change may or may not have been made"


class WrongSchemaVersion(StorageError):
    """The database was made by another version of the product."""

    def __init__(self, found: str | None, wanted: str) -> None:
        super().__init__(found, wanted)
        self.found = found
        self.wanted = wanted

    def __str__(self) -> str:
        found = f"has schema version {self.found}" if self.found else "has no schema"
        return f"the database {found}, this program needs {self.wanted}: run 'orchestra db upgrade'"


class FolderInUse(StorageError):
    """Another process holds the lock of a data or worker folder."""

    def __init__(self, folder: str, holder: str) -> None:
        super().__init__(folder, holder)
        self.folder = folder
        self.holder = holder

    def __str__(self) -> str:
        return f"the folder {self.folder} is in use by {self.holder}: stop that process, or give another folder"


class FolderUnusable(StorageError):
    """A folder cannot be made or written."""

    def __init__(self, folder: str, cause: str) -> None:
        super().__init__(folder, cause)
        self.folder = folder
        self.cause = cause

    def __str__(self) -> str:
        return f"the folder {self.folder} cannot be used ({self.cause}): give a folder that you may write"


class PortInUse(OrchestraError):
    """The address to listen on is taken, or not ours."""

    def __init__(self, address: str, cause: str) -> None:
        super().__init__(address, cause)
        self.address = address
        self.cause = cause

    def __str__(self) -> str:
        return f"cannot listen on {self.address} ({self.cause}): stop what listens there, or give another --port"


# --- protocol ---


class ProtocolError(OrchestraError):
    """The peer sent what the protocol does not have; the connection is closed with `code` and nothing is changed."""

    def __init__(self, code: int, sentence: str) -> None:
        super().__init__(code, sentence)
        self.code = code
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


class WorkerVersionRefused(OrchestraError):
    """A worker speaks no protocol version that this master does."""

    def __init__(self, worker: str, spoken: range, accepted: range) -> None:
        super().__init__(worker, spoken, accepted)
        self.worker = worker
        self.spoken = spoken
        self.accepted = accepted

    def __str__(self) -> str:
        older = "worker" if self.spoken.stop <= self.accepted.start else "master"
        return (
            f"worker {self.worker!r} speaks protocol {self.spoken.start} to {self.spoken.stop - 1}, "
            f"this master accepts {self.accepted.start} to {self.accepted.stop - 1}: upgrade the {older}"
        )
