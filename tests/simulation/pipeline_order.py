"""Judges in which order the runs of pipelines were made and ended, by what the database itself has noted."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from orchestra.elements import Element
from tests.simulation.pipeline_facts import BAD, OPEN, PipelineFacts, Stored, StoredPipeline


class PipelineOrder:
    """Of all pipelines of a world."""

    def __init__(self, facts: PipelineFacts) -> None:
        self._facts = facts
        self._at: dict[tuple[str, int], int] = {}
        """When what happened to a run for the first time."""
        self._decided: dict[tuple[int, str | None], int] = {}
        for note in facts.notes:
            if note.kind == "decided":
                self._decided.setdefault((note.run_id, note.element), note.id)
            else:
                self._at.setdefault((note.kind, note.run_id), note.id)
        self._children: dict[int, list[Stored]] = defaultdict(list)
        for child in facts.children():
            self._children[child.parent_id].append(child)

    def violations(self) -> Iterator[str]:
        """What came at a wrong time, twice, or without a link to who made it."""
        begun = Counter(note.run_id for note in self._facts.notes if note.kind == "begun")
        for run, count in begun.items():
            if count > 1:
                yield f"R11: #{run} was begun {count} times"
        for pipeline in self._facts.pipelines.values():
            yield from self._linked(pipeline)
            if pipeline.heads:
                yield from self._after_those_before(pipeline)
                yield from self._not_too_many(pipeline)
                yield from self._none_after_the_end(pipeline)

    def _linked(self, pipeline: StoredPipeline) -> Iterator[str]:
        """Each row with its run, both ways, and no second run of any."""
        number = pipeline.run.id
        rows = [row for element in pipeline.heads for row in pipeline.rows_of(element)]
        named = {(row.element, row.key): row.child_id for row in rows if row.child_id is not None and not row.is_reused}
        made = Counter((child.element, child.element_key) for child in self._children[number])
        for place, count in made.items():
            if count > 1:
                yield f"R11: {place} of #{number} was begun {count} times"
        theirs = {(child.element, child.element_key): child.id for child in self._children[number]}
        if named != theirs and max(made.values(), default=1) == 1:
            yield f"R11: #{number} names the runs {named}, and those that name it are {theirs}"

    def _after_those_before(self, pipeline: StoredPipeline) -> Iterator[str]:
        by_name = {element.name: element for element in pipeline.elements()}
        for child in self._children[pipeline.run.id]:
            made_at, where = self._at["made", child.id], f"R11: #{child.id} ({child.element} of #{pipeline.run.id})"
            for name in pipeline.ancestors(by_name[child.element]):
                if by_name[name].approval is not None:
                    decided_at = self._decided.get((pipeline.run.id, name), 0)
                    if decided_at > made_at:
                        yield f"{where} was begun before {name} was answered"
                for row in pipeline.rows_of(name):
                    if row.child_id is not None and self._at.get(("over", row.child_id), made_at + 1) > made_at:
                        yield f"{where} was begun before the end of {name}"

    def _not_too_many(self, pipeline: StoredPipeline) -> Iterator[str]:
        children = self._children[pipeline.run.id]
        bounds = [(pipeline.pipeline.max_parallel, children, "")]
        for element in pipeline.elements():
            mine = [child for child in children if child.element == element.name]
            bounds.append((element.max_parallel, mine, f"{element.name} of "))
        for most, among, of in bounds:
            if most is not None and (at_once := self._at_once(among)) > most:
                yield f"R11: {at_once} runs of {of}#{pipeline.run.id} were open at a time, {most} may be"

    def _at_once(self, children: list[Stored]) -> int:
        changes = [(self._at["made", child.id], 1) for child in children]
        changes += [(at, -1) for child in children if (at := self._at.get(("over", child.id))) is not None]
        most = taken = 0
        for _, change in sorted(changes):
            taken += change
            most = max(most, taken)
        return most

    def _none_after_the_end(self, pipeline: StoredPipeline) -> Iterator[str]:
        """After a stop, or a failure with `fail-fast`, nothing ordinary begins, and what runs is stopped."""
        stopped_at = self._at.get(("stop", pipeline.run.id))
        ends = [] if stopped_at is None else [stopped_at]
        ordinary = {element.name: element for element in pipeline.pipeline.elements}
        if pipeline.pipeline.fail_fast:
            ends += [at for each in ordinary.values() if (at := self._failed_at(pipeline, each)) is not None]
        if not ends:
            return
        ended_at = min(ends)
        for child in self._children[pipeline.run.id]:
            if child.element not in ordinary:
                continue
            if self._at["made", child.id] > ended_at:
                yield f"R11: #{child.id} was begun after its pipeline #{pipeline.run.id} was ended"
            is_unstopped = child.stop_requested_at is None and child.state != "cancelled"
            if is_unstopped and stopped_at is not None and self._at.get(("over", child.id), stopped_at) > stopped_at:
                yield f"R12: #{child.id} was not stopped with its pipeline #{pipeline.run.id}"

    def _failed_at(self, pipeline: StoredPipeline, element: Element) -> int | None:
        """Of an element with one run, that failed."""
        head = pipeline.heads[element.name]
        if pipeline.many[element.name] or head.child_id is None or head.is_reused:
            return None
        is_bad = self._facts.counted(element, head) in BAD
        return self._at.get(("over", head.child_id)) if is_bad else None


def undecided(facts: PipelineFacts) -> Iterator[str]:
    """Pipelines of which something is to be done that nobody has done with what made it due: looked at while they run,
    between two transactions."""
    for number, pipeline in facts.pipelines.items():
        if pipeline.run.state != "running" or not pipeline.heads:
            continue
        over = {name for name in pipeline.heads if _is_over(facts, pipeline, name)}
        if over == pipeline.heads.keys():
            yield f"R11: #{number} goes on, and all of its elements are over"
        is_stopped = pipeline.run.stop_requested_at is not None
        is_full = pipeline.pipeline.max_parallel is not None
        for element in pipeline.elements():
            state = pipeline.heads[element.name].state
            is_ordinary = not pipeline.is_closing(element)
            if is_stopped and is_ordinary and state in ("blocked", "waiting"):
                yield f"R11: {element.name} of #{number} is {state}, and somebody has stopped that"
            if state == "blocked" and not is_full and pipeline.ancestors(element) <= over:
                yield f"R11: {element.name} of #{number} is blocked, and all before it are over"


def _is_over(facts: PipelineFacts, pipeline: StoredPipeline, element: str) -> bool:
    return all(facts.final(row) not in OPEN for row in pipeline.rows_of(element))
