"""Defects of what masters and services decide: who gets a run, when it is due, when it is lost, what was asked for."""

from collections.abc import Mapping
from functools import partial

import msgspec
from sqlalchemy import Connection, bindparam, update

from orchestra.clock import Instant, seconds_between
from orchestra.commands import triggers
from orchestra.identifiers import AttemptNumber, RunId, Signature, UserId, WorkerId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.limits import OFFERS_PER_PASS_MAX
from orchestra.protocol.messages import Go, Hello
from orchestra.storage import attempts as attempt_rows
from orchestra.storage.attempts import withdraw_offer
from orchestra.storage.database import Signal
from orchestra.storage.idempotency import KeptAnswer
from orchestra.storage.pending import PendingRun, pending_heads
from orchestra.storage.prepared import PreparedQuery, listed
from orchestra.storage.tables import runs
from orchestra.storage.workers import WorkerSessionRow, begin_session
from orchestra_master import claiming, greeting, link, offer_watch
from orchestra_master.attempt_fold import AttemptFold
from orchestra_master.claiming import Claiming, Outcome, Request
from orchestra_master.dispatcher import Dispatcher
from orchestra_master.reconcile import Reconciliation
from orchestra_master.silences import Silences
from orchestra_master.stopper import Stopper
from tests.simulation.mutants.planting import Graft, Mutants

deciding = Mutants()


@deciding.breaks("R1", "R3")
def claim_without_compare_and_set(graft: Graft) -> None:
    """A master gives away what was pending when it looked, whatever has become of it since."""
    look, claim_first = Dispatcher._learn_terms, Claiming.claim
    seen: dict[str, dict[Signature, list[PendingRun]]] = {}
    present: list[dict[Signature, list[PendingRun]]] = [{}]

    async def learn(self: Dispatcher) -> None:
        await look(self)
        seen[self._parts.actor] = {
            signature: await self._parts.database.read(
                partial(pending_heads, signature=signature, limit=OFFERS_PER_PASS_MAX)
            )
            for signature in sorted(self._hungry)
        }

    def claim(self: Claiming, connection: Connection, request: Request, now: Instant) -> Outcome:
        present[0] = seen[self._actor]
        return claim_first(self, connection, request, now)

    def heads(connection: Connection, signature: Signature, limit: int) -> list[PendingRun]:
        return present[0].get(signature, [])[:limit]

    taken = PreparedQuery(
        attempt_rows._Taken,
        lambda count: (
            update(runs)
            .where(runs.c.id.in_(listed("wanted", runs.c.id.type, count)), runs.c.ended_at.is_(None))
            .values(state=RunState.ASSIGNED, attempt=runs.c.attempt + 1, worker_id=bindparam("worker"), reason="")
            .returning(*(runs.c[name] for name in attempt_rows._Taken._fields))
        ),
        of_list="wanted",
    )
    graft.replace(Dispatcher, "_learn_terms", learn)
    graft.replace(Claiming, "claim", claim)
    graft.replace(claiming, "pending_heads", heads)
    graft.replace(attempt_rows, "_CLAIM", taken)


@deciding.breaks("R1")
def lost_wakeup(graft: Graft) -> None:
    """The dispatcher looks for itself only once, and forgets what was blocked when a worker is free again."""
    poll = Dispatcher._poll

    async def poll_once(self: Dispatcher) -> None:
        if self._polled_at is None:
            await poll(self)

    def ignore(self: Dispatcher) -> None:
        self._blocked.clear()

    def wake(self: Dispatcher, signals: frozenset[Signal]) -> None:
        self._hungry |= {Signature(signal.payload) for signal in signals if signal.payload}

    graft.replace(Dispatcher, "_poll", poll_once)
    graft.replace(Dispatcher, "capacity_changed", ignore)
    graft.replace(Dispatcher, "wake", wake)


@deciding.breaks("R1")
def go_is_said_once(graft: Graft) -> None:
    """A worker that comes back without having heard `go` is not told again."""

    let_go = Reconciliation.let_go

    def forget_to(self: Reconciliation, slots: int) -> None:
        let_go(self, slots)
        self.answers = [answer for answer in self.answers if not isinstance(answer, Go)]

    graft.replace(Reconciliation, "let_go", forget_to)


@deciding.breaks("R3")
def accepted_offer_withdrawn(graft: Graft) -> None:
    """An offer is taken back although its acceptance was committed in the same moment."""
    careless = partial(withdraw_offer, from_states=(AttemptState.OFFERED, AttemptState.ACCEPTED))
    for module in (offer_watch, link):
        graft.replace(module, "withdraw_offer", careless)


@deciding.breaks("R1", "R3", "R8/R9")
def stale_hello_believed(graft: Graft) -> None:
    """A hello that was delivered late, after a newer one, is taken for what the worker holds now."""

    def begin(connection: Connection, hello: Hello, *, user: UserId, master: str, now: Instant) -> WorkerSessionRow:
        unnumbered = msgspec.structs.replace(hello, connection=0)
        return begin_session(connection, unnumbered, user=user, master=master, now=now)

    graft.replace(greeting, "begin_session", begin)


@deciding.breaks("R2")
def idempotency_key_ignored(graft: Graft) -> None:
    """A request that comes again makes another run."""

    def find(connection: Connection, user: UserId, key: str, *, now: Instant) -> KeptAnswer | None:
        return None

    def keep(connection: Connection, user: UserId, key: str, answer: KeptAnswer, *, now: Instant) -> bool:
        return True

    graft.replace(triggers, "find_answer", find)
    graft.replace(triggers, "keep_answer", keep)


@deciding.breaks("R8/R9")
def lost_declared_by_the_wall_clock(graft: Graft) -> None:
    """For how long a worker was silent is worked out from the time of day."""

    def look(self: Silences, contacts: Mapping[WorkerId, Instant]) -> Mapping[WorkerId, float]:
        now = self._clock.now()
        return {worker: max(0.0, seconds_between(last_at, now)) for worker, last_at in contacts.items()}

    graft.replace(Silences, "look", look)


@deciding.breaks("R12")
def stop_races_with_go(graft: Graft) -> None:
    """A stop that was asked for between offer and acceptance is dropped: the worker may go."""
    original = AttemptFold._accepted

    def accepted(self: AttemptFold) -> bool:
        object.__setattr__(self._row, "stop_words", None)
        return original(self)

    async def withdraw(self: Stopper, run: RunId, attempt: AttemptNumber, words: str) -> bool:
        for connected in self._parts.roster.connected():
            if (run, attempt) in connected.held:
                connected.stopping.add((run, attempt))
        return False

    graft.replace(AttemptFold, "_accepted", accepted)
    graft.replace(Stopper, "_withdraw", withdraw)
