"""A job whose steps wait for the test: each writes witness of its begin and end, and ends when its gate is open."""

from pathlib import Path

from tests.support.journey import Instance, lines_of, wait_until

LINES_AT_ONCE = 20
_STEP = """\
      - name: Step {number}
        run: |
          echo "{number} begins $ORCHESTRA_ATTEMPT" >> {witness}
          for line in $(seq 1 {lines}); do echo "{number}.$line"; done
          for wait in $(seq 1 2400); do [ -e {gates}/{number} ] && break; sleep 0.05; done
          echo "{number} last"
          echo "{number} ends" >> {witness}
"""


class GatedJob:
    """`ops/gated` in a definition; `more` are further lines of the job, indented by four."""

    def __init__(self, folder: Path, *, steps: int, more: str = "") -> None:
        self._steps = range(1, steps + 1)
        self._gates = folder / "gates"
        self._gates.mkdir()
        self.witness = folder / "gated-witness"
        texts = [
            _STEP.format(number=number, witness=self.witness, lines=LINES_AT_ONCE, gates=self._gates)
            for number in self._steps
        ]
        self.definition = "orchestra: 1\nproject: ops\njobs:\n  gated:\n" + more + "    steps:\n" + "".join(texts)

    def open(self, *numbers: int) -> None:
        """Lets these steps end, now or when they come to it."""
        for number in numbers:
            (self._gates / str(number)).touch()

    def close_gates(self) -> None:
        """Before the next run: all gates closed, no witness."""
        for gate in self._gates.iterdir():
            gate.unlink()
        self.witness.unlink(missing_ok=True)

    def await_begin(self, number: int) -> None:
        """Waits until the step has begun."""
        wait_until(lambda: self.has_begun(number), what=f"step {number} to begin")

    def await_end(self, number: int) -> None:
        """Waits until the step's own last word, which is a moment before its process has ended."""
        wait_until(lambda: f"{number} ends" in lines_of(self.witness), what=f"step {number} to end")

    def has_begun(self, number: int) -> bool:
        """Whether the step was executed at all."""
        return any(line.startswith(f"{number} begins") for line in lines_of(self.witness))

    def log_of(self, *numbers: int) -> bytes:
        """What these steps write, each from begin to end."""
        return b"".join(self.beginning_of(number) + b"%d last\n" % number for number in numbers)

    @staticmethod
    def beginning_of(number: int) -> bytes:
        """What a step writes before it waits for its gate."""
        return b"".join(b"%d.%d\n" % (number, line) for line in range(1, LINES_AT_ONCE + 1))

    def assert_whole(self, up: Instance, run: int) -> None:
        """The run succeeded in one attempt, every step was executed once, and not a byte is missing."""
        over = up.finish(run)
        assert over.state == "succeeded", over.reason
        assert over.attempts_counted == 1
        assert lines_of(self.witness) == [line for n in self._steps for line in (f"{n} begins 1", f"{n} ends")]
        assert up.log(run) == self.log_of(*self._steps)
        assert [step["exit_code"] for step in up.run(run).steps] == [0] * len(self._steps)
