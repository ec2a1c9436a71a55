"""What a schedule does with an instant that comes at a bad time, as sentences."""

from orchestra.durations import duration_in_words
from orchestra.specification import CatchUp, Overlap, ScheduleSpecification

_OVERLAP = {
    Overlap.SKIP: "While a run of the job is not over, a due instant is skipped.",
    Overlap.QUEUE: "While a run of the job is not over, the run of a due instant waits until it is.",
    Overlap.ALLOW: "A due instant makes a run even while others of the job are not over.",
    Overlap.CANCEL_PREVIOUS: "A due instant stops the runs of the job that are not over; its own waits until they are.",
}


def policies(specification: ScheduleSpecification) -> tuple[str, ...]:
    """One sentence for each policy."""
    found = [_OVERLAP[specification.overlap], _catch_up(specification)]
    if specification.jitter_seconds:
        found.append(f"Each run begins up to {duration_in_words(specification.jitter_seconds)} after its instant.")
    return tuple(found)


def _catch_up(specification: ScheduleSpecification) -> str:
    late = f"What is decided more than {duration_in_words(specification.grace_seconds)} late"
    if specification.catch_up is CatchUp.NONE:
        return f"{late} is noted as missed."
    if specification.catch_up is CatchUp.LATEST:
        return f"{late} is noted as missed, but the newest such instant makes a run if no newer one does."
    return f"{late} is caught up, the newest {specification.catch_up_limit} instants at most; older ones are missed."
