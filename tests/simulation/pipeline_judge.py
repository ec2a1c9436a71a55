"""Judges each pipeline that is over by what its rows must say, worked out without the product's resolver."""

from collections.abc import Iterator

from orchestra.elements import Element, Rule, Verdict
from tests.simulation.pipeline_facts import BAD, OPEN, PipelineFacts, Stored, StoredPipeline, worst
from tests.simulation.pipeline_people import verdict_of
from tests.simulation.pipelined_jobs import FOUND

_ACCEPTED = {
    Rule.SUCCEEDED: {"succeeded"},
    Rule.FAILED: {"failed", "exception"},
    Rule.FINISHED: {"succeeded", "failed", "exception", "aborted", "cancelled"},
    Rule.SKIPPED: {"skipped"},
    Rule.ABORTED: {"aborted"},
    Rule.CANCELLED: {"cancelled"},
    Rule.EXCEPTION: {"exception"},
}
_OF_WHOLE = {"succeeded": "succeeded", "skipped": "succeeded", "exception": "exception"}
"""What a pipeline is that nobody has stopped; failed for all others."""
_OF_VERDICT = {Verdict.APPROVE: "succeeded", Verdict.REJECT: "failed"}


class PipelineJudge:
    """Of one pipeline."""

    def __init__(self, facts: PipelineFacts, pipeline: StoredPipeline, *, seed: int) -> None:
        self._facts = facts
        self._pipeline = pipeline
        self._by_name = {element.name: element for element in pipeline.elements()}
        self._seed = seed
        run = pipeline.run
        self._was_stopped = run.stop_requested_at is not None
        ordinary = [self._counted(element) for element in pipeline.pipeline.elements] if pipeline.heads else []
        self._has_failed_fast = pipeline.pipeline.fail_fast and any(state in BAD for state in ordinary)

    def violations(self) -> Iterator[str]:
        """What is not as it must be."""
        run = self._pipeline.run
        if not self._pipeline.heads:
            if run.state != "cancelled":
                yield f"R11: #{run.id} is {run.state}, and was never begun"
            return
        for element in self._pipeline.elements():
            for said in self._of_element(element):
                reason = self._pipeline.heads[element.name].reason
                yield f"R11: {element.name} of #{run.id} ({run.state}) {said} ({reason!r})"
        counted = worst([self._counted(element) for element in self._pipeline.elements()])
        wanted = "aborted" if self._was_stopped else _OF_WHOLE.get(counted, "failed")
        if run.stop_requested_by == "timeout":
            wanted = "failed"
        if run.state != wanted:
            yield f"R11: #{run.id} is {run.state}, its elements make it {wanted}"
        kept = {name for name, row in self._pipeline.heads.items() if row.is_reused}
        if kept != (expected := self._kept()):
            yield f"R11: #{run.id} uses {sorted(kept)} of #{run.retry_of} again, and should {sorted(expected)}"

    def _counted(self, element: Element) -> str:
        return self._facts.counted_together(self._pipeline, element)

    def _of_element(self, element: Element) -> Iterator[str]:
        head, many = self._pipeline.heads[element.name], self._pipeline.many[element.name]
        state = self._facts.final(head)
        if state in OPEN:
            yield f"is {state}"
            return
        if head.is_reused:
            return
        has_begun = any(row.child_id is not None for row in (head, *many)) or bool(many)
        if state == "cancelled" and not has_begun and self._may_be_withdrawn(element):
            return
        unfulfilled = [name for name, rules in element.after.items() if not self._holds(name, rules)]
        if unfulfilled:
            if state != "skipped" or has_begun:
                yield f"is {state}, and its rules for {unfulfilled} do not hold"
        elif element.approval is not None:
            yield from self._of_approval(element, head, state)
        elif element.matrix is None and not element.for_each:
            yield from self._of_run(element, head, is_wanted=self._is_wanted(element, head))
        else:
            yield from self._of_many(element, state, many)

    def _may_be_withdrawn(self, element: Element) -> bool:
        is_ordinary = not self._pipeline.is_closing(element)
        return is_ordinary and (self._was_stopped or self._has_failed_fast)

    def _holds(self, before: str, rules: tuple[Rule, ...]) -> bool:
        counted = self._counted(self._by_name[before])
        return any(counted in _ACCEPTED[rule] for rule in rules)

    def _is_wanted(self, element: Element, row: Stored) -> bool:
        if element.condition == "matrix.n != 2":
            return bool(row.key != "n=2")
        if element.condition:
            before = element.condition.removeprefix("states.").removesuffix(" != 'failed'")
            return self._facts.final(self._pipeline.heads[before]) != "failed"
        return True

    def _of_approval(self, element: Element, head: Stored, state: str) -> Iterator[str]:
        assert element.approval is not None
        if not self._is_wanted(element, head):
            if state != "skipped":
                yield f"is {state}, and its condition does not hold"
            return
        in_time = head.decided_by not in (None, "nobody in time")
        said = verdict_of(self._seed, self._pipeline.run.id, element.name) if in_time else element.approval.on_timeout
        if head.decided_by is None or state != _OF_VERDICT[said]:
            yield f"is {state}, and {head.decided_by} has said {said}"

    def _of_run(self, element: Element, row: Stored, *, is_wanted: bool) -> Iterator[str]:
        """Of a row that may have a run."""
        state = self._facts.final(row)
        which = f"{row.key!r} " if row.key else ""
        if row.child_id is not None:
            run = self._facts.runs[row.child_id]
            if not is_wanted:
                yield f"{which}has a run, and its condition does not hold"
            if state != run.state:
                yield f"{which}is {state}, and its run #{run.id} is {run.state}"
        elif not is_wanted:
            if state not in ("skipped", "cancelled"):
                yield f"{which}is {state}, and its condition does not hold"
        elif state != "cancelled" or not (self._may_be_withdrawn(element) or self._has_failed_one(element)):
            yield f"{which}is {state}, and has no run"

    def _has_failed_one(self, element: Element) -> bool:
        many = self._pipeline.many[element.name]
        return element.fail_fast and any(self._facts.counted(element, row) in BAD for row in many)

    def _of_many(self, element: Element, state: str, many: list[Stored]) -> Iterator[str]:
        if element.matrix is not None:
            keys = [f"n={number}" for number in element.matrix.axes["n"]]
        else:
            source = self._pipeline.heads["e0"].child_id
            found = self._facts.result(source, FOUND)
            if not isinstance(found, list):
                yield f"has begun, and #{source} has found {found!r}"
                return
            keys = [f"{number}: {each}" for number, each in enumerate(found)]
        if [row.key for row in many] != keys:
            yield f"has runs for {[row.key for row in many]}, and should for {keys}"
        for row in many:
            yield from self._of_run(element, row, is_wanted=self._is_wanted(element, row))
        if state != (together := worst([self._facts.counted(element, row) for row in many])):
            yield f"is {state}, and its runs together {together}"

    def _kept(self) -> set[str]:
        """What a retry must use again: what has succeeded, and nothing before which is done again."""
        run = self._pipeline.run
        if run.retry_scope is None or run.retry_scope == "all":
            return set()
        old = self._facts.pipelines[run.retry_of]
        if not old.heads:
            return set()
        kept = {
            element.name
            for element in old.pipeline.elements
            if self._facts.counted_together(old, element) == "succeeded" and run.retry_scope != f"from {element.name}"
        }
        while again := {name for name in kept if not self._by_name[name].after.keys() <= kept}:
            kept -= again
        return kept
