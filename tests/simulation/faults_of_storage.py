"""Faults of the database, of disks and of clocks."""

from collections.abc import Sequence

from tests.simulation.clock import SimulatedClock
from tests.simulation.database import DatabaseTrouble
from tests.simulation.scene import Scene


def stop_database(scene: Scene) -> bool:
    """Nobody reaches it for a while."""
    return _take_away(scene, _troubles(scene), (0.5, 5.0, 30.0))


def cut_master_from_database(scene: Scene) -> bool:
    """One master does not reach it, the others do."""
    database = scene.master().database
    return database is not None and _take_away(scene, [database.trouble], (5.0, 30.0))


def slow_database(scene: Scene) -> bool:
    """Every transaction takes up to some seconds."""
    troubles, seconds = _troubles(scene), scene.chance.choice((0.1, 1.0, 4.0))
    for trouble in troubles:
        trouble.slow_seconds = seconds

    def mend() -> None:
        for trouble in troubles:
            trouble.slow_seconds = 0.0

    scene.later((10.0,), mend)
    return True


def lose_outcome(scene: Scene) -> bool:
    """The connection is lost during a commit, of which nobody knows whether it was done."""
    for trouble in _troubles(scene):
        trouble.lost_outcomes += scene.chance.random() < 0.5
    return True


def lose_signals(scene: Scene) -> bool:
    """Nobody is told what the others commit."""
    troubles = _troubles(scene)
    for trouble in troubles:
        trouble.drops_signals = True

    def mend() -> None:
        for trouble in troubles:
            trouble.drops_signals = False

    scene.later((20.0,), mend)
    return True


def fill_worker_disk(scene: Scene) -> bool:
    """The journal can write nothing."""
    disk = scene.worker().machine.disk
    disk.is_full = True

    def mend() -> None:
        disk.is_full = False

    scene.later((1.0, 15.0), mend)
    return True


def slow_worker_disk(scene: Scene) -> bool:
    """Every commit of the journal takes up to some seconds."""
    disk = scene.worker().machine.disk
    disk.slow_seconds = scene.chance.choice((0.1, 3.0))

    def mend() -> None:
        disk.slow_seconds = 0.0

    scene.later((15.0,), mend)
    return True


def fill_log_disk(scene: Scene) -> bool:
    """A master cannot write logs."""
    logs = scene.master().logs
    if logs is None:
        return False
    logs.is_full = True

    def mend() -> None:
        logs.is_full = False

    scene.later((1.0, 15.0), mend)
    return True


def set_clock(scene: Scene) -> bool:
    """A machine's wall clock jumps, by an hour at most; it is set right in the end."""
    scene.chance.choice(clocks(scene)).error_seconds = scene.chance.choice((-3600.0, -5.0, 5.0, 3600.0))
    return True


def clocks(scene: Scene) -> list[SimulatedClock]:
    """Of all machines."""
    masters = [master.clock for master in scene.world.masters]
    return [*masters, *(worker.machine.clock for worker in scene.world.workers)]


def _troubles(scene: Scene) -> list[DatabaseTrouble]:
    return [client.trouble for client in scene.world.server.clients]


def _take_away(scene: Scene, troubles: Sequence[DatabaseTrouble], seconds: Sequence[float]) -> bool:
    for trouble in troubles:
        trouble.is_away = True

    def mend() -> None:
        for trouble in troubles:
            trouble.is_away = False

    scene.later(seconds, mend)
    return True
