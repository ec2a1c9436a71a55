"""Faults at the worst moment: when a word of the protocol arrives, and in the milliseconds after it."""

import json
from collections.abc import Callable, Mapping
from functools import partial

from orchestra.protocol.codec import Frame
from tests.simulation.faults_of_networks import lose_at_one_end
from tests.simulation.network import End, Wire
from tests.simulation.parts import MasterProcess, WorkerProcess
from tests.simulation.scene import Fault, Scene

WORDS = ("hello", "welcome", "offer", "accept", "go", "started", "final", "acknowledge", "forget", "resume", "stop")
OF_THE_START = ("offer", "accept", "go")
"""Between these a run is in nobody's hands: they are waited for more often."""
MOMENTS_SECONDS = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008)
AGAIN = 0.8
"""How likely the next word is waited for at once."""
AS_WELL = 0.5
"""How likely a second deed is done at the same word: two things that go wrong together have one cause, mostly."""
Deed = Callable[[Scene, Wire, End, int | None], bool]
"""What is done to the connection, or to the processes at its ends, and the run that the word is about; True if the
word is not heard any more."""


def _cut(scene: Scene, wire: Wire, end: End, run: int | None) -> bool:
    """The link breaks just before a word is heard, or before anything can be answered."""
    wire.cut()
    return scene.chance.random() < 0.5


def _lose(scene: Scene, wire: Wire, end: End, run: int | None) -> bool:
    """The same, and only one end learns of it."""
    lose_at_one_end(scene, wire)
    return scene.chance.random() < 0.5


def _kill(scene: Scene, wire: Wire, end: End, run: int | None) -> bool:
    """Who has just heard or said a word dies, perhaps in the middle of what it does about it."""
    world = scene.world
    life = scene.chance.choice((end, end, end.other)).life
    processes: list[MasterProcess | WorkerProcess] = [*world.masters, *world.workers]
    process = next(each for each in processes if each.name == life.name)

    def strike() -> None:
        if process.life is life and life.is_alive:
            process.kill()
            scene.later((0.2, 2.0), process.start)

    scene.later(MOMENTS_SECONDS, strike)
    return False


def _abort(scene: Scene, wire: Wire, end: End, run: int | None) -> bool:
    """Somebody aborts the run of which master and worker are just speaking."""
    if run is not None:
        after_seconds = scene.chance.choice(MOMENTS_SECONDS)
        scene.world.loop.create_task(scene.world.client.abort(run, after_seconds), name="abort")
    return False


def _stall(scene: Scene, wire: Wire, end: End, run: int | None) -> bool:
    """The worker's disk takes its time, or has no room, for what the word makes it write."""
    name = wire.worker_end.life.name
    disk = next(worker.machine.disk for worker in scene.world.workers if worker.name == name)
    disk.is_full, disk.slow_seconds = scene.chance.random() < 0.2, 2.0

    def mend() -> None:
        disk.is_full, disk.slow_seconds = False, 0.0

    scene.later((0.5, 3.0), mend)
    return False


_DEEDS: Mapping[str, Deed] = {
    "link cut at a word": _cut,
    "link lost at one end at a word": _lose,
    "killed at a word": _kill,
    "run aborted at a word": _abort,
    "worker disk stalls at a word": _stall,
}


def _wait(scene: Scene, kind: str) -> bool:
    """Lies in wait for one word; the fault counts when it happens, so nothing has happened yet."""
    network, word = scene.world.network, scene.chance.choice((*WORDS, *OF_THE_START, *OF_THE_START))
    mark = f'"{word}"'

    def look(wire: Wire, end: End, frame: Frame) -> bool:
        if isinstance(frame, bytes) or mark not in frame:
            return False
        network.ambush = None
        if scene.chance.random() < AGAIN:
            _wait(scene, kind)
        runs = [message["run"] for message in json.loads(frame) if "run" in message and mark in json.dumps(message)]
        kinds = {kind: None}
        if scene.chance.random() < AS_WELL:
            kinds[scene.chance.choice([other for other in _DEEDS if other != kind])] = None
        is_dropped = False
        for each in kinds:
            scene.world.truth.fault(each)
            is_dropped |= _DEEDS[each](scene, wire, end, runs[0] if runs else None)
        return is_dropped

    network.ambush = look
    return False


MOMENTS: Mapping[str, Fault] = {kind: partial(_wait, kind=kind) for kind in _DEEDS}
"""The kinds of faults of this file."""
