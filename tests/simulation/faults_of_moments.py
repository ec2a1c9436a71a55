"""Faults at the worst moment: when a word of the protocol arrives, and in the milliseconds after it."""

import json
from collections.abc import Callable

from orchestra.protocol.codec import Frame
from tests.simulation.network import End, Wire
from tests.simulation.parts import MasterProcess, WorkerProcess
from tests.simulation.scene import Scene

WORDS = ("hello", "welcome", "offer", "accept", "go", "started", "final", "acknowledge", "forget", "resume", "stop")
MOMENTS_SECONDS = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008)
AGAIN = 0.8
"""How likely the next word is waited for at once."""
Deed = Callable[[Wire, End, int | None], bool]
"""What is done to the connection, or to the process at this end of it, and the run that the word is about."""


def cut_link_at_a_word(scene: Scene) -> bool:
    """The link breaks just before a word is heard, or before anything can be answered."""
    is_heard = scene.chance.random() < 0.5

    def cut(wire: Wire, end: End, run: int | None) -> bool:
        wire.cut()
        return not is_heard

    return _wait(scene, "link cut at a word", cut)


def kill_at_a_word(scene: Scene) -> bool:
    """Who has just heard a word dies, perhaps in the middle of what it does about it."""

    def kill(wire: Wire, end: End, run: int | None) -> bool:
        world = scene.world
        processes: list[MasterProcess | WorkerProcess] = [*world.masters, *world.workers]
        process = next(each for each in processes if each.name == end.life.name)
        life = end.life

        def strike() -> None:
            if process.life is life and life.is_alive:
                process.kill()
                scene.later((0.2, 2.0), process.start)

        scene.later(MOMENTS_SECONDS, strike)
        return False

    return _wait(scene, "killed at a word", kill)


def abort_at_a_word(scene: Scene) -> bool:
    """Somebody aborts the run of which master and worker are just speaking."""

    def abort(wire: Wire, end: End, run: int | None) -> bool:
        if run is not None:
            after_seconds = scene.chance.choice(MOMENTS_SECONDS)
            scene.world.loop.create_task(scene.world.client.abort(run, after_seconds), name="abort")
        return False

    return _wait(scene, "run aborted at a word", abort)


def _wait(scene: Scene, kind: str, deed: Deed) -> bool:
    """Lies in wait for one word; the fault counts when it happens, so nothing has happened yet."""
    network, word = scene.world.network, scene.chance.choice(WORDS)
    mark = f'"{word}"'

    def look(wire: Wire, end: End, frame: Frame) -> bool:
        if isinstance(frame, bytes) or mark not in frame:
            return False
        network.ambush = None
        scene.world.truth.fault(kind)
        if scene.chance.random() < AGAIN:
            _wait(scene, kind, deed)
        runs = [message["run"] for message in json.loads(frame) if "run" in message and mark in json.dumps(message)]
        return deed(wire, end, runs[0] if runs else None)

    network.ambush = look
    return False
