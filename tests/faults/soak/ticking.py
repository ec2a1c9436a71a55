"""Jobs that run by themselves while everything is broken, and what must have been decided about them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial

from orchestra.network.client import API
from tests.faults.checker import Expected, check_ticks, ticks_of
from tests.faults.soak.installation import CALM
from tests.faults.violations import Violations
from tests.faults.witness import Witness
from tests.support.journey import Instance, wait_until

STEPS_SECONDS = (5, 10, 30)
PROJECT = "ticks"
# Where keepers are killed, a run may be over before it has written down that it began: those workers do not take these.
_JOB = """\
  every-{step}:
    schedule: {{ cron: "*/{step} * * * * *", zone: UTC, overlap: allow }}
    worker: {{ {calm}: "yes" }}
    run: ". {script}; begins; ends"
"""


class Ticking:
    """The schedules, in force from now on until `end`."""

    def __init__(self, instance: Instance, witness: Witness) -> None:
        self._instance = instance
        self._witness = witness
        jobs = "".join(_JOB.format(step=step, calm=CALM, script=witness.script) for step in STEPS_SECONDS)
        instance.apply(f"orchestra: 1\nproject: {PROJECT}\njobs:\n{jobs}")
        self._began_at = datetime.now(UTC)

    def end(self) -> None:
        """Waits until all is decided that is due, and lets no more be decided."""
        now = datetime.now(UTC)
        for step in STEPS_SECONDS:
            wait_until(partial(self._has_ticked, step, now), seconds=90, what=f"every-{step} to tick")
            self._instance.api.patch(f"{API}/projects/{PROJECT}/jobs/every-{step}", {"enabled": False})

    def runs(self) -> Mapping[int, Expected]:
        """The runs that came of it, and what they must come to."""
        ticks = [tick for step in STEPS_SECONDS for tick in ticks_of(self._instance, f"{PROJECT}/every-{step}")]
        return {tick.run: Expected() for tick in ticks if tick.run is not None}

    def check(self) -> Violations:
        """Every instant from the first that had to come to the last that was decided has one decision and one run."""
        found = Violations()
        for step in STEPS_SECONDS:
            job = f"{PROJECT}/every-{step}"
            decided = [tick.due_at for tick in ticks_of(self._instance, job)]
            # Whether the instant at which it came into force was before or after is the master's to say.
            first = min([after(self._began_at, step), *decided])
            count = (max(decided) - first) // timedelta(seconds=step) + 1
            due = [first + timedelta(seconds=step * number) for number in range(count)]
            found += check_ticks(self._instance, job, due, self._witness)
        return found

    def _has_ticked(self, step: int, since: datetime) -> bool:
        return ticks_of(self._instance, f"{PROJECT}/every-{step}")[0].due_at >= since


def after(instant: datetime, step_seconds: int) -> datetime:
    """The first multiple of so many seconds after the instant."""
    return datetime.fromtimestamp((instant.timestamp() // step_seconds + 1) * step_seconds, UTC)
