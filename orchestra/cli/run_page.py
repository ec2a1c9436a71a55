"""One run as text: the head, why it waits, its attempts, steps and results."""

from collections.abc import Sequence

from orchestra.cli.answers import ElementShown, Run, StepShown, Waiting, WorkerMatch
from orchestra.cli.follow import address_of
from orchestra.cli.formats import byte_size, elapsed, length_in_words, local_time
from orchestra.cli.invocation import Invocation
from orchestra.cli.pipeline_commands import element_lines
from orchestra.cli.terminal import plain


def run_lines(call: Invocation, run: Run, server: str, elements: Sequence[ElementShown] = ()) -> list[str]:
    """Everything worth knowing about a run, the most important first; of a pipeline its elements."""
    lines = [f"Run #{run.id} {plain(run.project)}/{plain(run.job)}: {call.screen.state(run.state)}{_verdict(run)}"]
    lines += _head(call, run, server)
    if run.waiting and run.waiting.reasons and not run.ended_at:
        lines += ["", *waiting_lines(run.waiting)]
    if len(run.attempts) > 1:
        lines += ["", "Attempts"]
        lines += [f"  {attempt_line(call, run, index)}" for index in range(len(run.attempts))]
    if run.steps:
        lines += ["", "Steps"]
        lines += [f"  {_step_line(call, step, several=len(run.attempts) > 1)}" for step in run.steps]
    if run.results:
        lines += ["", "Results"]
        lines += [f"  {plain(name)} = {value_text(value)}" for name, value in run.results.items()]
    if run.is_pipeline:
        return [*lines, "", "Elements", *element_lines(call, list(elements))]
    return [*lines, "", f"Log: orchestra logs {run.id}"]


def waiting_lines(waiting: Waiting) -> list[str]:
    """Why a run is not running, and what each worker says to it."""
    lines = [f"It is {plain(waiting.state)}:" if waiting.state else "Waiting:"]
    lines += [f"  {plain(reason)}" for reason in waiting.reasons] or ["  nothing is in its way"]
    told = {reason.partition(":")[0] for reason in waiting.reasons}
    return lines + [f"  {worker_line(worker)}" for worker in waiting.workers if worker.name not in told]


def worker_line(worker: WorkerMatch) -> str:
    """Whether a worker can do a job, and what stands against it."""
    verdict = "matches" if worker.matches else "does not match"
    return f"{plain(worker.name)}: {verdict}" + (f", {plain(worker.reason)}" if worker.reason else "")


def attempt_line(call: Invocation, run: Run, index: int) -> str:
    """One attempt on one line."""
    attempt = run.attempts[index]
    parts = [f"{attempt.number} {call.screen.state(attempt.state)}"]
    if attempt.worker:
        parts.append(f"on {plain(attempt.worker)}")
    took = elapsed(attempt.started_at, attempt.ended_at, call.beat.today())
    if took is not None:
        parts.append(f"in {length_in_words(took)}")
    if attempt.reason:
        parts.append(plain(attempt.reason))
    if attempt.lost_bytes:
        parts.append(f"{byte_size(attempt.lost_bytes)} of its log are lost")
    return ", ".join(parts)


def value_text(value: object) -> str:
    """A value as it is typed: text as it is, anything else as JSON."""
    import msgspec

    return plain(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _verdict(run: Run) -> str:
    notes = []
    if run.progress is not None and not run.ended_at:
        notes.append(f"{run.progress:.0%} {plain(run.progress_text or '')}".rstrip())
    if run.reason:
        notes.append(plain(run.reason))
    if run.exit_code:
        notes.append(f"exit {run.exit_code}")
    if run.stop_requested and not run.ended_at:
        notes.append(f"stop requested by {plain(run.stop_requested.by)}".removesuffix(" by "))
    return ": " + ", ".join(notes) if notes else ""


def _head(call: Invocation, run: Run, server: str) -> list[str]:
    zone = call.screen.zone
    rows = [
        ("source", plain(run.source or "")),
        ("retry of", f"#{run.retry_of}" if run.retry_of else ""),
        ("element", _element_of(run)),
        ("worker", plain(run.worker or "")),
        ("parameters", ", ".join(f"{plain(name)}={value_text(value)}" for name, value in run.parameters.items())),
        ("created", local_time(run.created_at, zone)),
        ("started", local_time(run.started_at, zone) if run.started_at else ""),
        ("ended", local_time(run.ended_at, zone) if run.ended_at else ""),
        ("took", length_in_words(elapsed(run.started_at, run.ended_at, call.beat.today())) if run.started_at else ""),
        ("log", byte_size(run.log_length) if run.log_length else ""),
        ("url", address_of(run, server)),
    ]
    return [f"  {name:<11} {text}" for name, text in rows if text]


def _element_of(run: Run) -> str:
    if run.parent is None:
        return ""
    return f"{plain(run.element or '')} of #{run.parent}" + (f" ({plain(run.element_key)})" if run.element_key else "")


def _step_line(call: Invocation, step: StepShown, *, several: bool) -> str:
    attempt = f"{step.attempt}: " if several else ""
    if step.ended_at is None:
        return f"{attempt}{plain(step.name)}: running"
    took = length_in_words(elapsed(step.started_at, step.ended_at, call.beat.today()))
    ended = plain(step.reason) if step.reason else f"exit {step.exit_code}"
    return f"{attempt}{plain(step.name)}: {ended} in {took}"
