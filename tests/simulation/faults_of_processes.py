"""Faults that end or stop whole processes and machines."""

from tests.simulation.loop import Life
from tests.simulation.scene import Scene

PAUSES_SECONDS = (0.3, 3.0, 20.0, 40.0)


def kill_master(scene: Scene) -> bool:
    """SIGKILL, and a new start after a while."""
    master = scene.master()
    if not master.life.is_alive:
        return False
    master.kill()
    scene.later((0.2, 2.0, 20.0), master.start)
    return True


def stop_master(scene: Scene) -> bool:
    """SIGTERM: it says goodbye."""
    master = scene.master()
    master.stop()
    return master.life.is_alive


def pause_master(scene: Scene) -> bool:
    """SIGSTOP and SIGCONT, or a machine that sleeps."""
    return _pause(scene, scene.master().life)


def kill_agent(scene: Scene) -> bool:
    """SIGKILL; its steps and the keeper go on."""
    worker = scene.worker()
    if not worker.life.is_alive:
        return False
    worker.kill()
    scene.later((0.2, 2.0, 30.0), worker.start)
    return True


def stop_agent(scene: Scene) -> bool:
    """SIGTERM: an upgrade, say."""
    worker = scene.worker()
    worker.stop()
    return worker.life.is_alive


def pause_agent(scene: Scene) -> bool:
    """SIGSTOP and SIGCONT; the keeper goes on."""
    return _pause(scene, scene.worker().life)


def kill_keeper(scene: Scene) -> bool:
    """SIGKILL of the keeper alone, as by a lack of memory."""
    machine = scene.worker().machine
    was_there = machine.keeper is not None
    machine.lose_keeper()
    return was_there


def cut_power(scene: Scene) -> bool:
    """The machine loses its power, and some output with it."""
    worker = scene.worker()
    if not worker.life.is_alive:
        return False
    worker.crash()
    scene.later((1.0, 20.0), worker.start)
    return True


def destroy_machine(scene: Scene) -> bool:
    """It never comes back. At most one does that, and not the one that is wide enough for every job."""
    worker = scene.world.workers[-1]
    if len(scene.world.workers) == 1 or worker.is_gone:
        return False
    worker.is_gone = True
    worker.crash()
    return True


def lose_journal(scene: Scene) -> bool:
    """Somebody deletes the agent's journal while no agent runs."""
    worker = scene.worker()
    if not worker.life.is_alive:
        return False
    worker.kill()
    worker.machine.lose_journal()
    scene.later((1.0,), worker.start)
    return True


def _pause(scene: Scene, life: Life) -> bool:
    if not life.is_alive:
        return False
    life.is_paused = True

    def go_on() -> None:
        life.is_paused = False

    scene.later(PAUSES_SECONDS, go_on)
    return True
