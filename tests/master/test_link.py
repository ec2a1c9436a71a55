"""A worker's connection, told word by word: what is stored, what is answered, and what changes nothing."""

import asyncio

from msgspec import Raw
from sqlalchemy import select

from orchestra.identifiers import AttemptNumber, RunId, UserId
from orchestra.lifecycle import AttemptState, RunState
from orchestra.protocol.codec import CloseCode
from orchestra.protocol.messages import (
    Accept,
    Acknowledge,
    CheckIn,
    Chunk,
    Event,
    Forget,
    Go,
    Held,
    Offer,
    Refuse,
    Results,
    Resume,
    Welcome,
)
from orchestra.storage.database import Database
from orchestra.storage.tables import attempts, run_events, run_results
from tests.master.conftest import MasterWorld
from tests.support import given
from tests.support.worker_end import WorkerEnd, event, final, hello, started

ATTEMPT = AttemptNumber(1)


async def events_of(database: Database, run: RunId) -> list[str]:
    query = select(run_events.c.kind).where(run_events.c.run_id == run).order_by(run_events.c.id)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


async def attempt_states(database: Database, run: RunId) -> list[str]:
    query = select(attempts.c.state).where(attempts.c.run_id == run).order_by(attempts.c.number)
    return await database.read(lambda connection: list(connection.execute(query).scalars()))


async def test_a_run_goes_from_pending_to_succeeded_with_its_log(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database, parameters={"branch": "main"})
    worker = world.connect(worker_user)
    await worker.greet()

    offer = await worker.take_offer()
    await worker.execute(offer, output=b"hello\n")

    assert offer.run == run
    assert offer.parameters == {"branch": "main"}
    assert await given.state_of(world.database, run) is RunState.SUCCEEDED
    assert world.logs.read(run, offer.attempt, 0, 100) == b"hello\n"
    assert await given.column_of(world.database, run, "log_length") == 6
    assert await events_of(world.database, run) == ["created", "offered", "started", "succeeded"]


async def test_everything_that_comes_twice_counts_once(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    offer = await worker.take_offer()
    words: list[Event | Chunk] = [started(run, ATTEMPT), Chunk(run=run, attempt=ATTEMPT, offset=0, content=b"once")]

    worker.say(*words, *words, Accept(run=run, attempt=ATTEMPT))
    again = await worker.hear(Go)
    worker.say(final(run, offer.attempt, sequence=2, output=b"once"))
    await worker.hear(Forget)

    assert again.run == run
    assert world.logs.read(run, ATTEMPT, 0, 100) == b"once"
    assert await given.column_of(world.database, run, "attempts_counted") == 1
    assert await given.state_of(world.database, run) is RunState.SUCCEEDED


async def test_results_are_kept_as_json_and_as_text(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    await worker.take_offer()
    values = {"version": Raw(b'"1.2"'), "count": Raw(b"3")}

    worker.say(started(run, ATTEMPT), event(run, ATTEMPT, 2, Results(values=values)))
    while (await worker.hear(Acknowledge)).sequence < 2:
        pass

    query = select(run_results.c.name, run_results.c.value, run_results.c.text).order_by(run_results.c.name)
    rows = await world.database.read(lambda connection: [tuple(row) for row in connection.execute(query)])
    assert rows == [("count", "3", "3"), ("version", '"1.2"', "1.2")]


async def test_a_nul_in_a_jobs_words_does_not_break_the_link(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    await worker.take_offer()
    found = Results(values={"version": Raw(b'"1\\u0000"')})
    told = CheckIn(progress=0.5, text="half\0way")

    worker.say(started(run, ATTEMPT), event(run, ATTEMPT, 2, found), event(run, ATTEMPT, 3, told))
    while (await worker.hear(Acknowledge)).sequence < 3:
        pass

    text = await world.database.read(lambda c: c.execute(select(run_results.c.text)).scalar_one())
    assert text == "1\ufffd"
    assert await given.column_of(world.database, run, "progress_text") == "half\ufffdway"


async def test_a_refused_offer_is_pending_again_and_no_attempt(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()

    await worker.hear(Offer)
    worker.say(Refuse(run=run, attempt=ATTEMPT, reason="the disk is nearly full"))
    other = world.connect(worker_user)
    await other.greet(worker="beta")
    offer = await other.take_offer()

    assert offer.attempt == 2
    assert (await attempt_states(world.database, run))[0] == AttemptState.WITHDRAWN
    assert await given.column_of(world.database, run, "attempts_counted") == 0


async def test_what_a_lost_worker_had_not_accepted_runs_elsewhere(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    dying = world.connect(worker_user)
    await dying.greet()
    await dying.hear(Offer)

    dying.go_away()
    other = world.connect(worker_user)
    await other.greet(worker="beta")
    offer = await other.take_offer()

    assert (offer.run, offer.attempt) == (run, 2)


async def test_a_worker_that_comes_back_goes_on_where_the_master_is(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    before = world.connect(worker_user)
    await before.greet()
    await before.take_offer()
    before.say(started(run, ATTEMPT), Chunk(run=run, attempt=ATTEMPT, offset=0, content=b"one "))
    while (await before.hear(Acknowledge)).log_length < 4:
        pass

    before.go_away()
    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.SUCCEEDED, sequence=2, log_length=8)
    after = world.connect(worker_user)
    await after.greet(held=[held])
    resume = await after.hear(Resume)
    after.say(Chunk(run=run, attempt=ATTEMPT, offset=4, content=b"two "))
    after.say(final(run, ATTEMPT, sequence=2, output=b"one two "))
    await after.hear(Forget)

    assert (resume.sequence, resume.log_length) == (1, 4)
    assert await given.state_of(world.database, run) is RunState.SUCCEEDED
    assert world.logs.read(run, ATTEMPT, 0, 100) == b"one two "


async def test_the_newest_connection_wins(world: MasterWorld, worker_user: UserId) -> None:
    half_open = world.connect(worker_user)
    await half_open.greet()

    newer = world.connect(worker_user)
    welcome = await newer.greet()
    code, _ = await half_open.closed

    assert welcome.epoch == 2
    assert code == CloseCode.REPLACED


async def test_a_name_belongs_to_the_user_who_registered_it(world: MasterWorld, worker_user: UserId) -> None:
    worker = world.connect(worker_user)
    await worker.greet()

    thief = world.connect(await given.user(world.database, "mallory"))
    thief.say(hello())
    code, reason = await thief.closed

    assert code == CloseCode.REFUSED
    assert "belongs to another user" in reason


async def test_a_malformed_frame_closes_the_connection_and_changes_nothing(
    world: MasterWorld, worker_user: UserId
) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    await worker.take_offer()

    worker.say_frames(['[{"type": "event", "run": "not a number"}]'])
    code, _ = await worker.closed

    assert code == CloseCode.MALFORMED
    assert await given.state_of(world.database, run) is RunState.ASSIGNED


async def test_final_is_refused_while_log_is_missing(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    await worker.take_offer()

    worker.say(started(run, ATTEMPT), final(run, ATTEMPT, sequence=2, output=b"never sent"))
    code, reason = await worker.closed

    assert code == CloseCode.OUT_OF_TURN
    assert "10 bytes of log, but 0 have come" in reason
    assert await given.state_of(world.database, run) is RunState.ASSIGNED


async def test_d4_a_worker_cannot_speak_of_another_workers_run(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    owner = world.connect(worker_user)
    await owner.greet()
    await owner.take_offer()

    thief = world.connect(worker_user)
    held = Held(run=run, attempt=ATTEMPT, state=AttemptState.STARTED, sequence=5, log_length=100)
    await thief.greet(worker="mallory", held=[held])
    answer = await thief.hear(Forget)
    thief.say(Chunk(run=run, attempt=ATTEMPT, offset=0, content=b"forged"), started(run, ATTEMPT))
    code, reason = await thief.closed

    assert answer.run == run
    assert (code, reason) == (CloseCode.OUT_OF_TURN, f"attempt 1 of #{run} was never given to this worker")
    assert await given.state_of(world.database, run) is RunState.ASSIGNED
    assert world.logs.read(run, ATTEMPT, 0, 100) == b""


async def test_d5_a_late_word_does_not_change_a_run_that_is_over(world: MasterWorld, worker_user: UserId) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet()
    offer = await worker.take_offer()
    await worker.execute(offer, output=b"done", exit_code=3)

    worker.say(started(run, ATTEMPT), final(run, ATTEMPT, sequence=3))
    await worker.hear(Forget)

    assert await given.state_of(world.database, run) is RunState.FAILED
    assert await given.column_of(world.database, run, "exit_code") == 3
    assert (await events_of(world.database, run))[-1] == "late"


async def test_d11_two_machines_with_one_name_are_both_put_in_quarantine(
    world: MasterWorld, worker_user: UserId
) -> None:
    ends: list[WorkerEnd] = []
    for number in range(4):
        end = world.connect(worker_user)
        ends.append(end)
        end.say(hello(instance=f"instance-{number % 2}"))
        if number < 3:
            await end.hear(Welcome)
    code, reason = await ends[-1].closed

    assert code == CloseCode.REFUSED
    assert "both are in quarantine" in reason
    again = world.connect(worker_user)
    again.say(hello(instance="instance-0"))
    assert (await again.closed)[0] == CloseCode.REFUSED


async def test_d11_a_takeover_counts_though_the_older_session_was_sent_away_before(
    world: MasterWorld, worker_user: UserId
) -> None:
    ends: list[WorkerEnd] = []
    for number in range(4):
        end = world.connect(worker_user)
        ends.append(end)
        end.say(hello(instance=f"instance-{number % 2}"))
        if number < 3:
            await end.hear(Welcome)
            # As the keeper of contacts does it, when it sees the newer session's row before the newer link goes on.
            for connected in world.parts.roster.connected():
                world.parts.roster.leave(connected)

    assert (await ends[-1].closed)[0] == CloseCode.REFUSED


async def test_slots_bound_what_a_worker_gets_at_once(world: MasterWorld, worker_user: UserId) -> None:
    for _ in range(3):
        await given.pending_run(world.database)
    worker = world.connect(worker_user)
    await worker.greet(slots=2)

    first, second = await worker.take_offer(), await worker.take_offer()
    waiting = asyncio.ensure_future(worker.hear(Offer))
    pending = await given.state_of(world.database, RunId(3))
    worker.say(started(first.run, first.attempt), final(first.run, first.attempt, sequence=2))
    third = await waiting

    assert pending is RunState.PENDING
    assert {first.run, second.run, third.run} == {1, 2, 3}
