"""Defects of what is decided about the elements of pipelines."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace

import msgspec
from sqlalchemy import Connection, delete, update

from orchestra.clock import Instant
from orchestra.commands import stops
from orchestra.elements import Element, Rule
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunState
from orchestra.pipeline import states
from orchestra.pipeline.actions import ElementRows, Row, Stop
from orchestra.pipeline.graph import Graph
from orchestra.pipeline.resolver import STOPPED, _Resolution
from orchestra.pipeline.states import ElementState
from orchestra.storage import pipeline_children, pipelines
from orchestra.storage.admission import Admission, Ruling
from orchestra.storage.element_rows import read_elements
from orchestra.storage.new_runs import NewRun, create_run
from orchestra.storage.pipeline_children import Children
from orchestra.storage.run_moves import state_of_run
from orchestra.storage.stop_requests import ask_to_stop
from orchestra.storage.tables import pipeline_elements, runs
from orchestra_master import pipeline_keeper
from tests.simulation.mutants.planting import Graft, Mutants

pipelining = Mutants()


@pipelining.breaks("R11")
def element_begun_again(graft: Graft) -> None:
    """An element counts as begun only once its run has started, and its run is made anew with each look."""
    made: list[RunId] = []
    read = read_elements

    def admit(connection: Connection, new: NewRun) -> Admission:
        made.append(create_run(connection, replace(new, creation_key=f"{new.creation_key} {len(made)}")))
        return Admission(ruling=Ruling.MADE, run=made[-1])

    def seen(connection: Connection, run: RunId) -> dict[str, ElementRows]:
        found = read(connection, run)
        for rows in found.values():
            for row in (rows.head, *rows.instances):
                if (
                    row.run is not None
                    and row.state is ElementState.RUNNING
                    and state_of_run(connection, row.run) is RunState.PENDING
                ):
                    row.state = ElementState.BLOCKED
        return found

    graft.replace(pipeline_children, "admit", admit)
    graft.replace(pipelines, "read_elements", seen)


@pipelining.breaks("R11")
def child_key_without_its_combination(graft: Graft) -> None:
    """All runs of a matrix or list have one key, so that the first stands for all of them."""

    def admit(connection: Connection, new: NewRun) -> Admission:
        run = create_run(connection, replace(new, creation_key=f"pipeline {new.parent} {new.element}"))
        return Admission(ruling=Ruling.MADE, run=run)

    graft.replace(pipeline_children, "admit", admit)


@pipelining.breaks("R11")
def cancelled_without_a_look_at_its_pipeline(graft: Graft) -> None:
    """Whoever cancels a run that nobody had leaves its pipeline as it is, until somebody looks by chance."""

    def request(connection: Connection, run: RunId, *, by: str, reason: str, now: Instant) -> RunState:
        return ask_to_stop(connection, run, by=by, reason=reason, now=now)

    graft.replace(stops, "request_stop", request)


@pipelining.breaks("R11")
def begun_by_two_masters(graft: Graft) -> None:
    """A pipeline that another master has just begun is begun once more, from the beginning."""
    begin = pipelines.begin_pipeline

    def begin_always(connection: Connection, run: RunId, *, actor: str, now: Instant) -> list[RunId]:
        begun = update(runs).where(runs.c.id == run, runs.c.state == RunState.RUNNING).values(state=RunState.PENDING)
        if connection.execute(begun).rowcount:
            connection.execute(delete(pipeline_elements).where(pipeline_elements.c.run_id == run))
        return begin(connection, run, actor=actor, now=now)

    graft.replace(pipeline_keeper, "begin_pipeline", begin_always)


@pipelining.breaks("R11")
def closing_elements_skipped_after_an_abort(graft: Graft) -> None:
    """An abort withdraws what should run whatever becomes of the others."""
    look_at = _Resolution._look_at

    def look(self: _Resolution, elements: list[Element], *, ending: str) -> Iterator[tuple[Element, Row]]:
        return look_at(self, elements, ending=STOPPED if self._facts.is_stopped else ending)

    graft.replace(_Resolution, "_look_at", look)


@pipelining.breaks("R11")
def skipped_counts_as_succeeded(graft: Graft) -> None:
    """What comes after a success begins after an element that was skipped as well."""
    accepted = {**states._STATES_OF_RULE, Rule.SUCCEEDED: frozenset({ElementState.SUCCEEDED, ElementState.SKIPPED})}
    graft.replace(states, "_STATES_OF_RULE", accepted)


@pipelining.breaks("R11")
def one_predecessor_is_enough(graft: Graft) -> None:
    """An element begins as soon as one of those before it is as it asks for."""
    may_begin = _Resolution._may_begin

    def may(self: _Resolution, element: Element) -> bool:
        over = {
            name: rules
            for name, rules in element.after.items()
            if self._rows[name].head.state not in states.OPEN_STATES
        }
        return may_begin(self, msgspec.structs.replace(element, after=over) if over else element)

    graft.replace(_Resolution, "_may_begin", may)


@pipelining.breaks("R11")
def retry_does_again_what_succeeded(graft: Graft) -> None:
    """A retry of the failed part begins from the beginning."""

    def kept(self: Children, graph: Graph) -> Mapping[str, ElementRows]:
        return {}

    graft.replace(Children, "kept_rows", kept)


@pipelining.breaks("R12")
def children_left_running(graft: Graft) -> None:
    """An aborted pipeline waits for what runs, instead of having it stopped."""

    def stop(self: object, action: Stop) -> None:
        return

    graft.replace(pipelines._Step, "_stop", stop)


@pipelining.breaks("R11")
def room_for_one_more(graft: Graft) -> None:
    """One run more than `max-parallel` says is open at a time."""
    start = _Resolution._start

    def start_more(self: _Resolution, ready: list[tuple[Element, Row]]) -> None:
        graph, more = self._graph, copy(self._graph)
        if graph.pipeline.max_parallel is not None:
            more.pipeline = msgspec.structs.replace(graph.pipeline, max_parallel=graph.pipeline.max_parallel + 1)
        self._graph = more
        start(self, ready)
        self._graph = graph

    graft.replace(_Resolution, "_start", start_more)
