"""Runs whose every byte is known beforehand: the load under which faults happen."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from secrets import token_hex

from orchestra.network.client import API
from orchestra.network.problems import RequestRefused, ServerUnreachable
from tests.faults.checker import Expected
from tests.faults.witness import Witness
from tests.support.journey import Instance, Run, wait_until

_DEFINITION = """\
orchestra: 1
project: {project}
jobs:
  witnessed:
{more}    parameters:
      lines: {{ type: integer, default: 5 }}
      pause: {{ type: string, default: "0" }}
      exit: {{ type: integer, default: 0 }}
      gate: {{ type: string, default: "" }}
    run: |
      . {script}
      begins
      while [ "$PARAM_GATE" ] && [ ! -e "$PARAM_GATE" ]; do sleep 0.5; beat; done
      number=0
      while [ $number -lt $PARAM_LINES ]; do
        number=$((number+1))
        echo "run $ORCHESTRA_RUN attempt $ORCHESTRA_ATTEMPT line $number"
        [ "$PARAM_PAUSE" = 0 ] || {{ sleep $PARAM_PAUSE; beat; }}
      done
      ends
      exit $PARAM_EXIT
"""


class Load:
    """Triggers the job `witnessed` of a project and keeps in mind what each run must come to.

    `more` are further lines of the job, indented by four, such as `    retry: ...`.
    """

    def __init__(
        self, instance: Instance, witness: Witness, *, project: str = "ops", more: str = "", attempts_max: int = 1
    ) -> None:
        self._instance = instance
        self._jobs = f"{API}/projects/{project}/jobs"
        self._attempts_max = attempts_max
        self.expected: dict[int, Expected] = {}
        self._asked: dict[int, tuple[Mapping[str, object], str]] = {}
        instance.apply(_DEFINITION.format(script=witness.script, project=project, more=more))

    def trigger(
        self,
        *,
        lines: int = 5,
        pause: float = 0.0,
        exit_code: int = 0,
        gate: Path | None = None,
        allowed: Iterable[str] = (),
        **more: object,
    ) -> int:
        """Triggers a run that prints so many lines, with so many seconds after each; `allowed` are further ends.

        With a gate it begins, and prints when there is such a file.

        Who is killed before he answers is asked again under the same key, so that it stays one run.
        """
        said = {"lines": lines, "pause": f"{pause:g}", "exit": exit_code, "gate": str(gate or "")}
        number = self._ask({"parameters": said, **more})
        state = "failed" if exit_code else "succeeded"
        self.expected[number] = Expected(
            states=frozenset({state, *allowed}),
            attempts_max=self._attempts_max,
            log=partial(printed, lines=lines),
        )
        return number

    def repeat(self, number: int) -> int:
        """Asks for the run once more in the same words under the same key; the run that comes of it."""
        body, key = self._asked[number]
        return self._send(body, key)

    def _ask(self, body: Mapping[str, object]) -> int:
        key = token_hex(16)
        number = self._send(body, key)
        self._asked[number] = body, key
        return number

    def _send(self, body: Mapping[str, object], key: str) -> int:
        def ask() -> Run | None:
            try:
                return self._instance.api.post(f"{self._jobs}/witnessed/runs", body, key=key).read(Run)
            except ServerUnreachable:
                return None
            except RequestRefused as refused:
                if not refused.problem.retryable:
                    raise
                return None

        return wait_until(ask, seconds=60, what="somebody to take the run").id

    def await_over(self, *, seconds: float) -> None:
        """Waits until all of them are over, however they end."""
        waiting = set(self.expected)

        def look() -> bool:
            for number in sorted(waiting):
                if not self._instance.run(number).is_over:
                    return False
                waiting.discard(number)
            return True

        wait_until(look, seconds=seconds, what="all runs to be over")

    def ends(self) -> Mapping[int, str]:
        """The state of each run now."""
        return {number: self._instance.run(number).state for number in self.expected}


def printed(run: int, attempt: int, *, lines: int) -> bytes:
    """What the run's attempt prints if nothing ends it."""
    return b"".join(b"run %d attempt %d line %d\n" % (run, attempt, line) for line in range(1, lines + 1))
