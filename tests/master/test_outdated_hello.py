"""A hello that was on its way for long, and comes when its worker has long said another one."""

from orchestra.identifiers import UserId
from orchestra.lifecycle import RunState
from orchestra.protocol.messages import Forget, Outdated, Welcome
from tests.master.conftest import MasterWorld
from tests.support import given
from tests.support.worker_end import final, hello, started


async def test_an_old_hello_that_comes_late_loses_nothing_that_was_started_since(
    world: MasterWorld, worker_user: UserId
) -> None:
    run = await given.pending_run(world.database)
    worker = world.connect(worker_user)
    worker.say(hello(connection=8))
    await worker.hear(Welcome)
    offer = await worker.take_offer()
    worker.say(started(offer.run, offer.attempt))

    late = world.connect(worker_user)
    late.say(hello(connection=7))

    assert (await late.hear(Outdated)).connection == 8
    worker.say(final(offer.run, offer.attempt, sequence=2, output=b"", exit_code=0))
    await worker.hear(Forget)
    assert await given.state_of(world.database, run) is RunState.SUCCEEDED


async def test_a_hello_that_comes_twice_is_believed_once(world: MasterWorld, worker_user: UserId) -> None:
    worker = world.connect(worker_user)
    worker.say(hello(connection=8))
    await worker.hear(Welcome)

    twin = world.connect(worker_user)
    twin.say(hello(connection=8))

    assert (await twin.hear(Outdated)).connection == 8


async def test_a_worker_that_was_told_begins_anew_above_the_number(world: MasterWorld, worker_user: UserId) -> None:
    first, second, third = (world.connect(worker_user) for _ in range(3))
    first.say(hello(connection=8))
    await first.hear(Welcome)
    second.say(hello(connection=3))
    told = await second.hear(Outdated)

    third.say(hello(connection=told.connection + 1))

    assert (await third.hear(Welcome)).epoch == 2


async def test_another_instance_counts_for_itself(world: MasterWorld, worker_user: UserId) -> None:
    worker = world.connect(worker_user)
    worker.say(hello(connection=8))
    await worker.hear(Welcome)

    other = world.connect(worker_user)
    other.say(hello(instance="instance-2", connection=1))

    assert (await other.hear(Welcome)).epoch == 2
