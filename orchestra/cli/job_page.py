"""One job as text: whether it makes runs, when, what it takes, and which workers can do it."""

from orchestra.cli.answers import Job, JobDetail, ParameterShown, StepDefined
from orchestra.cli.formats import length_in_words, local_time
from orchestra.cli.invocation import Invocation
from orchestra.cli.run_page import value_text, worker_line
from orchestra.cli.terminal import plain
from orchestra.definition.element_text import describe_elements
from orchestra.definition.policy_text import describe_policies
from orchestra.definition.retry_text import describe_retry
from orchestra.matching import describe, describe_wishes


def job_lines(call: Invocation, job: JobDetail) -> list[str]:
    """Everything worth knowing about a job, the most important first."""
    name = f"{plain(job.project)}/{plain(job.name)}"
    by = f" by {plain(job.disabled_by)}" if job.disabled_by else ""
    lines = [f"Job {name}: {job_state(job)}{by}", *_quarantine(call, job), *_head(call, job)]
    if job.parameters:
        lines += ["", "Parameters"]
        lines += [f"  {_parameter_line(parameter)}" for parameter in job.parameters]
    pipeline = job.specification.pipeline
    if pipeline is None and not job.specification.wrapped:
        lines += ["", "Workers", *(f"  {line}" for line in match_lines(job))]
    elif pipeline is not None:
        # Its elements' jobs have workers; it has none itself.
        lines += ["", "Elements", *(f"  {plain(name)}: {plain(text)}" for name, text in describe_elements(pipeline))]
    return [*lines, "", f"Runs: orchestra runs --job {name}"]


def job_state(job: Job) -> str:
    """Whether it makes runs, in a word, and whether they may start."""
    word = "retired" if job.retired else "enabled" if job.enabled else "disabled"
    return word if job.quarantined_at is None else f"{word}, in quarantine"


def match_lines(job: JobDetail) -> list[str]:
    """Which workers can do it, and why not the others."""
    workers = sorted(job.workers, key=lambda worker: not worker.matches)
    return [worker_line(worker) for worker in workers] or ["no worker yet: its runs wait for one"]


def _quarantine(call: Invocation, job: JobDetail) -> list[str]:
    if job.quarantined_at is None:
        return []
    since = local_time(job.quarantined_at, call.screen.zone)
    return [
        f"  in quarantine since {since}: {plain(job.quarantine_reason or '')}",
        f"  nothing of it starts until somebody types: orchestra job release {plain(job.project)}/{plain(job.name)}",
    ]


def _head(call: Invocation, job: JobDetail) -> list[str]:
    zone, execution = call.screen.zone, job.specification.execution
    steps = {"set-up": execution.setup, "steps": execution.steps, "teardown": execution.teardown}
    schedule = ""
    if job.schedule is not None:
        coming = f"next {local_time(job.schedule.next_fire_at, zone)}" if job.schedule.enabled else "not scheduled now"
        schedule = f"{plain(job.schedule.sentence)}, {coming}"
    expected = ""
    if job.expect is not None:
        state = "missed" if job.expect.is_missed else f"next {local_time(job.expect.next_at, zone)}"
        expected = f"{plain(job.expect.sentence)}, {state if job.expect.next_at else 'not while it is disabled'}"
    rows = [
        ("", plain(job.description)),
        ("wrapped", "something else starts it, with orchestra wrap" if job.specification.wrapped else ""),
        ("version", str(job.version or "")),
        ("schedule", schedule),
        ("expected", expected),
        ("last run", f"#{job.last_run.id} {call.screen.state(job.last_run.state)}" if job.last_run else "never"),
        *((title, ", ".join(map(_step_words, listed))) for title, listed in steps.items()),
        ("timeout", "" if execution.timeout_seconds is None else length_in_words(execution.timeout_seconds)),
        ("silence", "" if execution.silence_seconds is None else length_in_words(execution.silence_seconds)),
        *((key, plain(words)) for key, words in describe_policies(job.specification.policies)),
        ("retry", plain(describe_retry(job.specification.retry))),
        ("asks for", ", ".join(plain(describe(each)) for each in job.specification.matching.requirements)),
        ("of several", "; ".join(map(plain, describe_wishes(job.specification.matching)))),
    ]
    return [f"  {title:<11} {text}" if title else f"  {text}" for title, text in rows if text]


def _step_words(step: StepDefined) -> str:
    limit = step.timeout_seconds
    return plain(step.name) + ("" if limit is None else f" (at most {length_in_words(limit)})")


def _parameter_line(parameter: ParameterShown) -> str:
    notes = [" | ".join(map(plain, parameter.options)) or plain(parameter.type)]
    if parameter.minimum is not None:
        notes.append(f"at least {parameter.minimum:g}")
    if parameter.maximum is not None:
        notes.append(f"at most {parameter.maximum:g}")
    if parameter.required:
        notes.append("required")
    if parameter.default is not None:
        notes.append(f"{value_text(parameter.default)} by default")
    return f"{plain(parameter.name)}: {', '.join(notes)}" + (f"; {plain(parameter.help)}" if parameter.help else "")
