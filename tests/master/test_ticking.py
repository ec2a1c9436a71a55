"""What a due instant does at a bad time: runs that wait for the earlier ones, pauses, calendars, jitter."""

from sqlalchemy import Connection, select

from orchestra.clock import Instant, after, seconds_between, to_datetime
from orchestra.commands.definitions import apply_definition
from orchestra.definition.reader import read_definition
from orchestra.identifiers import RunId
from orchestra.lifecycle import RunEvent, RunState
from orchestra.storage.database import Database, Topic
from orchestra.storage.due_schedules import next_due_at
from orchestra.storage.jobs import find_job
from orchestra.storage.queued import queued_first
from orchestra.storage.runs import let_go, move_run, request_stop
from orchestra.storage.schedules import pause_schedule, resume_schedule, schedule_of_job
from orchestra.storage.tables import runs, schedule_ticks
from orchestra_master.ticker import Ticker
from orchestra_master.ticking import jitter_seconds
from tests.support.clocks import FakeClock

MINUTE = 60.0
Ticks = list[tuple[str, int | None]]


class Scheduled:
    """A job that is due each minute, with a ticker of its own."""

    def __init__(self, database: Database, policies: str, *, head: str = "") -> None:
        self.database = database
        self.clock = FakeClock()
        self.ticker = Ticker(database=database, clock=self.clock)
        self._text = f"orchestra: 1\nproject: ops\n{head}jobs:\n  tick: {{ run: x, schedule: {{ {policies} }} }}\n"

    async def apply(self, text: str | None = None) -> None:
        """Applies the definition, or another one."""
        definition = read_definition(text or self._text, "orchestra.yaml")
        now = self.clock.now()
        await self.database.write(
            lambda c: apply_definition(c, definition, owner_file=None, source="test", by="ana", now=now)
        )

    async def minutes(self, count: int) -> None:
        """So many instants, each decided as it comes."""
        for _ in range(count):
            self.clock.advance(MINUTE)
            await self.ticker.tick_once()

    async def ticks(self) -> Ticks:
        """All decisions in order."""
        query = select(schedule_ticks.c.decision, schedule_ticks.c.run_id).order_by(schedule_ticks.c.due_at)
        return await self.database.read(lambda c: [(row[0], row[1]) for row in c.execute(query)])

    async def states(self) -> list[str]:
        """Of all runs."""
        query = select(runs.c.state, runs.c.reason).order_by(runs.c.id)
        return await self.database.read(lambda c: [f"{row[0]} {row[1]}".strip() for row in c.execute(query)])

    async def end(self, run: int) -> None:
        """Ends a pending run as a worker would."""
        now = self.clock.now()

        def end(connection: Connection) -> None:
            for event in (RunEvent.OFFERED, RunEvent.STARTED, RunEvent.SUCCEEDED):
                move_run(connection, RunId(run), event, actor="worker", now=now)

        await self.database.write(end)

    async def start(self, run: int) -> None:
        """Begins it."""
        now = self.clock.now()

        def begin(connection: Connection) -> None:
            for event in (RunEvent.OFFERED, RunEvent.STARTED):
                move_run(connection, RunId(run), event, actor="worker", now=now)

        await self.database.write(begin)


async def test_queued_runs_go_one_after_the_other(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: queue")
    await job.apply()
    await job.minutes(3)

    assert await job.ticks() == [("fired", 1), ("fired", 2), ("fired", 3)]
    assert await job.states() == [
        "pending",
        "scheduled it waits until #1 is over",
        "scheduled it waits until #1 is over",
    ]

    pending = database.subscribe(Topic.PENDING)
    await job.end(1)

    assert await job.states() == ["succeeded", "pending", "scheduled it waits until #1 is over"]
    assert await pending.wait(5)
    pending.close()
    await job.end(2)
    assert await job.states() == ["succeeded", "succeeded", "pending"]


async def test_who_waits_behind_a_withdrawn_run_is_let_go_too(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: queue")
    await job.apply()
    await job.minutes(3)

    def stop_both(connection: Connection) -> None:
        for run in (RunId(2), RunId(1)):
            request_stop(connection, run, by="ana", reason="", now=job.clock.now())

    await database.write(stop_both)

    assert await job.states() == ["cancelled cancelled by ana", "cancelled cancelled by ana", "pending"]


async def test_a_queued_run_may_wait_for_a_worker_as_long_as_any_other(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: queue")
    await job.apply()
    await job.minutes(2)
    job.clock.advance(100_000)
    await job.end(1)

    pending_at, expires_at = await database.read(
        lambda c: c.execute(select(runs.c.pending_at, runs.c.expires_at).where(runs.c.id == 2)).one()
    )

    assert seconds_between(Instant(pending_at), Instant(expires_at)) == 86_400


async def test_whoever_two_masters_did_not_see_is_found_later(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: queue")
    await job.apply()
    await job.minutes(2)
    # As another master would have ended it, that could not see the second run yet.
    ended = {"state": RunState.SUCCEEDED, "ended_at": job.clock.now()}
    await database.write(lambda c: c.execute(runs.update().where(runs.c.id == 1).values(ended)))

    await database.write(lambda c: let_go(c, queued_first(c, lock=True), now=job.clock.now()))

    assert await job.states() == ["succeeded", "pending"]


async def test_a_newer_instant_stops_the_previous_runs_and_waits_for_their_end(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: cancel-previous")
    await job.apply()
    await job.minutes(1)
    await job.start(1)
    stops = database.subscribe(Topic.STOPS)
    await job.minutes(2)

    assert "1" in {signal.payload for signal in await stops.wait(5)}
    stops.close()
    words = "cancelled by schedule: a newer instant is due"
    assert await job.states() == ["running", f"cancelled {words}", "scheduled it waits until #1 is over"]
    asked = select(runs.c.stop_requested_by, runs.c.stop_reason).where(runs.c.id == 1)
    assert await database.read(lambda c: tuple(c.execute(asked).one())) == ("schedule", "a newer instant is due")


async def test_nothing_is_decided_in_a_pause_and_everything_after_it(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: allow")
    await job.apply()
    await job.minutes(1)
    schedule = await database.read(lambda c: schedule_of_job(c, find_job(c, "ops", "tick").id))
    assert schedule is not None
    now = job.clock.now()
    await database.write(lambda c: pause_schedule(c, schedule.id, by="ana", reason="migration", until=None, now=now))

    await job.minutes(3)

    assert await job.ticks() == [("fired", 1)]
    assert await database.read(next_due_at) is None
    await database.write(lambda c: resume_schedule(c, schedule.id, now=job.clock.now()))
    await job.ticker.tick_once()
    paused = ("skipped: paused by ana: migration", None)
    assert await job.ticks() == [("fired", 1), paused, paused, ("fired: caught up", 2)]
    await job.minutes(1)
    assert (await job.ticks())[-1] == ("fired", 3)


async def test_a_pause_ends_by_itself_at_its_time(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: allow, catch-up: none")
    await job.apply()
    schedule = await database.read(lambda c: schedule_of_job(c, find_job(c, "ops", "tick").id))
    assert schedule is not None
    now, until = job.clock.now(), after(job.clock.now(), 2.5 * MINUTE)
    await database.write(lambda c: pause_schedule(c, schedule.id, by="ana", reason="", until=until, now=now))

    assert await database.read(next_due_at) == until
    await job.minutes(4)

    assert [decision for decision, _ in await job.ticks()] == ["skipped: paused by ana"] * 2 + ["fired"] * 2


async def test_a_calendar_says_why_an_instant_is_skipped(database: Database) -> None:
    today = to_datetime(FakeClock().now()).date().isoformat()
    job = Scheduled(database, "every: 1m, not-in: feast", head=f"calendars: {{ feast: {today} }}\n")
    await job.apply()
    await job.minutes(1)

    assert await job.ticks() == [("skipped: feast", None)]


async def test_jitter_is_a_delay_of_the_run_and_always_the_same(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: allow, jitter: 1h")
    await job.apply()
    await job.minutes(3)

    rows = await database.read(
        lambda c: c.execute(
            select(schedule_ticks.c.due_at, schedule_ticks.c.schedule_id, runs.c.due_at, runs.c.state)
            .join(runs, runs.c.id == schedule_ticks.c.run_id)
            .order_by(schedule_ticks.c.due_at)
        ).all()
    )

    assert {row.state for row in rows} == {"scheduled"}
    for due_at, schedule, begins_at, _ in rows:
        assert begins_at == after(Instant(due_at), jitter_seconds(3600, f"{schedule} {due_at}"))
    assert len({begins_at - due_at for due_at, _, begins_at, _ in rows}) == 3


async def test_a_change_of_policies_alone_keeps_the_cursor(database: Database) -> None:
    job = Scheduled(database, "every: 1m, overlap: allow")
    await job.apply()
    before = await database.read(next_due_at)
    job.clock.advance(3 * MINUTE)

    await job.apply("orchestra: 1\nproject: ops\njobs:\n  tick: { run: x, schedule: { every: 1m, grace: 5m } }\n")

    assert await database.read(next_due_at) == before
    await job.apply("orchestra: 1\nproject: ops\njobs:\n  tick: { run: x, schedule: { every: 2m } }\n")
    assert await database.read(next_due_at) != before


def test_jitter_is_spread_evenly() -> None:
    found = [jitter_seconds(10, str(number)) for number in range(10_000)]

    assert 0 <= min(found) < 0.1
    assert 9.9 < max(found) < 10
    assert 4.8 < sum(found) / len(found) < 5.2
    assert found[:2] == [jitter_seconds(10, "0"), jitter_seconds(10, "1")]
