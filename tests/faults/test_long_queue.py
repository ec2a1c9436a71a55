"""A queue as long as a day: no memory grows with it, and the run at its head starts as fast as in a short one."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import pytest

from orchestra.configuration import read_token_file
from orchestra.protocol.messages import Accept, Forget, Go, Offer, Welcome
from tests.faults.fired import Fired
from tests.faults.process_figures import processor_seconds, resident_bytes
from tests.support.figures import is_alone
from tests.support.impostor import Impostor, impostor
from tests.support.journey import Orchestra
from tests.support.worker_end import final, hello, started

MEBIBYTE = 1 << 20
GROWTH_BYTES_MAX = 40 * MEBIBYTE
SLOWER_MAX = 2.0
SMOKE_RUNS = 5_000
PROBES = 300
JOBS = "orchestra: 1\nproject: ops\njobs:\n  short:\n    run: 'true'\n"
# As if they had been triggered one by one: copies of the newest one, which is pending.
COPY = """
insert into runs ({columns})
select {values} from runs, (
    with recursive n(i) as (select 1 union all select i + 1 from n where i < :count) select i from n
) where runs.id = (select max(id) from runs)
"""


def fill(up: Orchestra, count: int) -> None:
    """So many pending runs more, written while the instance is down: over the API they would take minutes."""
    up.stop()
    with closing(sqlite3.connect(up.data / "orchestra.db")) as database:
        columns = [row[1] for row in database.execute("pragma table_info(runs)")]
        values = [{"id": "id + i", "creation_key": "'copy ' || (id + i)"}.get(name, f"runs.{name}") for name in columns]
        database.execute(COPY.format(columns=", ".join(columns), values=", ".join(values)), {"count": count - 1})
        database.commit()
    up.start()


def pending(up: Orchestra) -> int:
    """How many wait."""
    with closing(sqlite3.connect(f"file:{up.data}/orchestra.db?mode=ro", uri=True)) as database:
        count: int = database.execute("select count(*) from runs where state = 'pending'").fetchone()[0]
        return count


@contextmanager
def worker(up: Orchestra, name: str, slots: int) -> Iterator[Impostor]:
    """One that takes runs as fast as it is given them."""
    with impostor(up.port, read_token_file(up.data / "worker.token")) as guest:
        guest.say(hello(worker=name, slots=slots))
        guest.hear(Welcome)
        yield guest


def execute(guest: Impostor, offer: Offer) -> None:
    """Tells the whole execution of a run that may go."""
    guest.say_together([started(offer.run, offer.attempt), final(offer.run, offer.attempt, sequence=2)])


@dataclass(frozen=True, kw_only=True)
class Dispatched:
    """How some hundred runs were given, one after the other, to a worker with one slot."""

    seconds: Sequence[float]
    """From the end of a run to the offer of the next one, in order of size."""
    processor_seconds: float
    """What the master took for all of it: beside other tests only this tells of the product."""

    def at(self, share: float) -> float:
        """The milliseconds that so large a share of them did not exceed."""
        return self.seconds[int(share * len(self.seconds))] * 1000


def dispatch(up: Orchestra) -> Dispatched:
    """Gives `PROBES` runs."""
    taken = []
    before = processor_seconds(up.program.pid)
    with worker(up, "probe", slots=1) as guest:
        offer = guest.take_offer()
        for _ in range(PROBES):
            begun = time.monotonic()
            execute(guest, offer)
            offer = guest.hear(Offer)
            taken.append(time.monotonic() - begun)
            guest.say(Accept(run=offer.run, attempt=offer.attempt))
            guest.hear(Go)
        execute(guest, offer)
        guest.hear(Forget)
    return Dispatched(seconds=sorted(taken), processor_seconds=processor_seconds(up.program.pid) - before)


def drain(up: Orchestra, count: int) -> float:
    """Executes so many runs, 64 at a time; returns how long it took, in seconds."""
    begun = time.monotonic()
    offers: dict[int, Offer] = {}
    with worker(up, "drain", slots=64) as guest:
        while count:
            match guest.hear_next():
                case Offer() as offer:
                    offers[offer.run] = offer
                    guest.say(Accept(run=offer.run, attempt=offer.attempt))
                case Go(run=run):
                    execute(guest, offers.pop(run))
                case Forget():
                    count -= 1
    return time.monotonic() - begun


@pytest.mark.parametrize(
    "count", [SMOKE_RUNS, pytest.param(100_000, marks=[pytest.mark.long, pytest.mark.timeout(1800)])]
)
def test_a_long_queue_costs_no_memory_and_no_time_at_its_head(up: Orchestra, fired: Fired, count: int) -> None:
    up.apply(JOBS)
    up.trigger("ops/short")
    fill(up, PROBES + 1)
    short = dispatch(up)
    up.trigger("ops/short")
    base = pending(up)
    fill(up, count)
    fired("pending", pending(up) - base)
    before = resident_bytes(up.program.pid)

    long = dispatch(up)
    took = drain(up, pending(up))

    growth = resident_bytes(up.program.pid) - before
    p99, p50 = ([each.at(share) for each in (short, long)] for share in (0.99, 0.5))
    spent = [each.processor_seconds for each in (short, long)]
    print(f"{count} runs: p50 {p50} ms, p99 {p99} ms, drained in {took:.0f} s, {growth >> 20} MiB more, {spent} s")
    assert pending(up) == 0
    assert growth <= GROWTH_BYTES_MAX
    assert spent[1] <= SLOWER_MAX * spent[0]
    if is_alone():
        assert p50[1] <= SLOWER_MAX * p50[0]
        # Of a short queue the slowest of some hundred says nothing.
        assert p99[1] <= SLOWER_MAX * p99[0] or count <= SMOKE_RUNS
