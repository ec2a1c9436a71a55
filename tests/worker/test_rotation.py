"""Several masters, any of which will do."""

from collections.abc import Sequence

import pytest
from click.testing import CliRunner

from orchestra_worker import __main__ as command
from orchestra_worker.assemble import WorkerSettings
from orchestra_worker.rotation import Rotation
from orchestra_worker.transport import CannotConnect, Transport
from tests.worker.fake_master import MemoryTransport


class Master:
    """A master's address, behind which somebody may be."""

    def __init__(self, name: str, asked: list[str], *, is_there: bool = True) -> None:
        self._name = name
        self._asked = asked
        self.is_there = is_there

    async def connect(self) -> Transport:
        self._asked.append(self._name)
        if not self.is_there:
            raise CannotConnect(self._name, "refused")
        return MemoryTransport()


async def connect(rotation: Rotation, times: int) -> None:
    for _ in range(times):
        await rotation.connect()


async def test_each_connection_is_tried_at_the_next_master() -> None:
    asked: list[str] = []
    rotation = Rotation([Master(name, asked) for name in "abc"], begin_at=1)

    await connect(rotation, 5)

    assert asked == list("bcabc")


async def test_a_master_that_is_away_is_one_try_and_no_more() -> None:
    asked: list[str] = []
    masters = [Master("a", asked, is_there=False), Master("b", asked)]
    rotation = Rotation(masters)

    with pytest.raises(CannotConnect):
        await rotation.connect()
    await rotation.connect()
    masters[0].is_there = True
    await rotation.connect()

    assert asked == ["a", "b", "a"]


async def test_one_master_is_tried_again_and_again() -> None:
    asked: list[str] = []

    await connect(Rotation([Master("a", asked)]), 3)

    assert asked == ["a", "a", "a"]


@pytest.mark.parametrize("masters", [("http://one:7781",), ("http://one:7781", "wss://two")])
def test_the_command_takes_one_address_or_several(masters: Sequence[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[WorkerSettings] = []
    monkeypatch.setattr(command, "run_worker", given.append)
    words = [word for master in masters for word in ("--master", master)]

    outcome = CliRunner().invoke(command.start, [*words, "--token-file", "t", "--name", "atlas"])

    assert outcome.exit_code == 0, outcome.output
    assert tuple(given[0].masters) == tuple(masters)
