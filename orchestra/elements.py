"""What a pipeline is, as plain data: elements that run jobs or wait for a person, and the rules between them."""

from enum import StrEnum

import msgspec

MatrixValue = str | int | float | bool
"""One value of a matrix, or of a parameter that an element gives; texts may hold templates where it is said."""


class Rule(StrEnum):
    """What an element asks of an element before it; a list of rules asks for any of them."""

    SUCCEEDED = "succeeded"
    """It succeeded, or its failure is allowed."""
    FAILED = "failed"
    """It failed or broke (`exception`), and that is not allowed."""
    FINISHED = "finished"
    """It is over, however it ended, but it was not skipped."""
    SKIPPED = "skipped"
    ABORTED = "aborted"
    CANCELLED = "cancelled"
    EXCEPTION = "exception"


class Verdict(StrEnum):
    """What a person says to an approval, or what counts as said when nobody answered in time."""

    APPROVE = "approve"
    REJECT = "reject"


class Approval(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An element that waits for a person."""

    by: tuple[str, ...] = ()
    """Names of users, and roles in the project; empty: everybody who may run the job."""
    message: str = ""
    """What the person is asked; may hold templates."""
    timeout_seconds: float | None = None
    """None: it waits for ever."""
    on_timeout: Verdict = Verdict.REJECT


class Matrix(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run for each combination of the axes' values."""

    axes: dict[str, tuple[MatrixValue, ...]] = {}
    exclude: tuple[dict[str, MatrixValue], ...] = ()
    """A combination that has all values of one of these is left out."""
    include: tuple[dict[str, MatrixValue], ...] = ()
    """Further combinations, each with a value for every axis."""


class Element(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One node of a pipeline: it runs a job, or it is an approval."""

    name: str
    job: str = ""
    """`build`, or `shop/build` of another project; empty for an approval."""
    after: dict[str, tuple[Rule, ...]] = {}
    """The elements before it, each with the rules of which one must hold."""
    condition: str = ""
    """CEL over `parameters`, `results`, `states`, `matrix`, `item`; empty: no condition. (`if` in the file.)"""
    parameters: dict[str, MatrixValue] = {}
    """Given to the job's run; texts are templates. (`with` in the file.)"""
    worker: dict[str, MatrixValue] = {}
    """Properties that the worker must have besides what the job asks for; texts are templates."""
    same_worker_as: str = ""
    """An element before it: its worker must be the one that the run of that element had. (`worker.same-as` in the
    file.)"""
    matrix: Matrix | None = None
    for_each: str = ""
    """`results.plan.targets`: one run for each member of a list that an element before it has found out."""
    max_parallel: int | None = None
    """So many runs of its matrix or list at a time."""
    fail_fast: bool = False
    """The first of its runs that fails ends the others."""
    allow_failure: bool = False
    allowed_exit_codes: tuple[int, ...] = ()
    """A failure with one of these exit codes is allowed as well."""
    approval: Approval | None = None


class Pipeline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The elements of a job that is a pipeline."""

    elements: tuple[Element, ...]
    closing: tuple[Element, ...] = ()
    """Run when all others are over, whatever became of them, also after an abort. (`finally` in the file.)"""
    max_parallel: int | None = None
    """So many runs of all its elements at a time."""
    fail_fast: bool = False
    """The first element that fails ends the others, but for the closing ones."""
