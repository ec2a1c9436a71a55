"""Faults of the way between workers and masters."""

from tests.simulation.network import Wire
from tests.simulation.scene import Scene


def cut_link(scene: Scene) -> bool:
    """Both ends learn of it."""
    wire = _wire(scene)
    if wire is not None:
        wire.cut()
    return wire is not None


def freeze_link(scene: Scene) -> bool:
    """Half-open for ever: nobody learns of it."""
    wire = _wire(scene)
    if wire is not None:
        wire.freeze()
    return wire is not None


def lose_link_at_one_end(scene: Scene) -> bool:
    """One end gives the connection up and opens another, the other end goes on with it and hears late what was said."""
    wire = _wire(scene)
    if wire is not None:
        lose_at_one_end(scene, wire)
    return wire is not None


def lose_at_one_end(scene: Scene, wire: Wire) -> None:
    """Mostly the worker's: the master's may be the older session's for a while."""
    wire.lose_at(scene.chance.choice((wire.worker_end, wire.worker_end, wire.worker_end, wire.master_end)))
    scene.later((0.1, 0.5, 1.0, 2.0, 4.0, 8.0), wire.thaw)


def delay_link(scene: Scene) -> bool:
    """Nothing arrives for a while, then all of it: perhaps after newer connections have been opened."""
    wire = _wire(scene)
    if wire is not None:
        wire.freeze()
        scene.later((1.0, 8.0, 12.0, 14.0, 30.0), wire.thaw)
    return wire is not None


def repeat_link(scene: Scene) -> bool:
    """What the worker has said on a connection reaches a master once more, as a connection of its own."""
    wire = _wire(scene)
    if wire is None or not wire.sent_by_worker:
        return False
    master = scene.master().name
    frames, worker = list(wire.sent_by_worker), wire.worker_end.life

    def repeat() -> None:
        twin = scene.world.network.open(worker, master)
        if twin is not None:
            for frame in frames:
                twin.carry(twin.worker_end, frame)
            twin.worker_end.close()

    scene.later((0.1, 5.0, 20.0), repeat)
    return True


def part_network(scene: Scene) -> bool:
    """A black hole between a worker and one master, or all."""
    worker = scene.worker().name
    masters = [master.name for master in scene.world.masters]
    parted = masters if scene.chance.random() < 0.6 else [scene.chance.choice(masters)]
    for master in parted:
        scene.world.network.part(worker, master)

    def heal() -> None:
        for master in parted:
            scene.world.network.heal(worker, master)

    scene.later((40.0, 70.0, 100.0) if scene.world.is_about_silence else (3.0, 20.0, 50.0), heal)
    return True


def slow_network(scene: Scene) -> bool:
    """Every delivery takes up to some seconds."""
    network = scene.world.network
    network.lag_seconds = scene.chance.choice((0.2, 2.0, 5.0))

    def mend() -> None:
        network.lag_seconds = 0.0

    scene.later((10.0,), mend)
    return True


def _wire(scene: Scene) -> Wire | None:
    wires = [wire for wire in scene.world.network.wires if not wire.is_over and not wire.is_frozen]
    return scene.chance.choice(wires) if wires else None
