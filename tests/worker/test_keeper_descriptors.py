"""The keeper's descriptors: a number is used again at once, and what was said of the old one is not believed."""

import asyncio
import json
import sys
from pathlib import Path

ONE_STEP = """
import json, os, select, sys
from orchestra.clock import SystemClock
from orchestra_worker.keeper_house import StepHouse
from orchestra_worker.keeper_log import DiskReserve

folder, clock, poll = sys.argv[1], SystemClock(), select.epoll()
house = StepHouse(
    name="one", reserve=DiskReserve(folder=folder, clock=clock, reserve_bytes=4096), cgroups=None, clock=clock
)
house.attach(poll)
house.obey({
    "do": "spawn", "step": "1-1-0", "folder": folder, "number": 0, "argv": ["/bin/sh", "-c", "read line; echo over"],
    "directory": folder, "environment": {}, "deadline": None, "deadline_reason": "", "grace_seconds": 1,
} | json.loads(sys.argv[2]))
kinds = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")
         if os.path.lexists(f"/proc/self/fd/{name}")}
process = next(number for number, kind in kinds.items() if "pidfd" in kind)
pipe = next(number for number, kind in kinds.items() if kind.startswith("pipe:") and number > 2)
"""
UNTIL_THE_END = """
told = []
deadline = clock.monotonic() + 20
while not any(news["event"] == "ended" for news in told) and clock.monotonic() < deadline:
    for descriptor, _ in poll.poll(0.02):
        house.take_event(descriptor)
    house.tick()
    told += house.take_news()
ended = [news["report"]["exit_code"] for news in told if news["event"] == "ended"]
"""


async def run(folder: Path, script: str, **order: object) -> object:
    """Runs the script in a process of its own, because a keeper adopts what its steps leave behind."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(folder), json.dumps(order), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    assert process.returncode == 0
    return json.loads(answer)


async def test_a_false_word_that_a_process_has_ended_does_not_hide_its_end(tmp_path: Path) -> None:
    script = ONE_STEP + "house.take_event(process)\n" + UNTIL_THE_END + "print(json.dumps(ended))"

    assert await run(tmp_path, script, argv=["/bin/sh", "-c", "sleep 0.2; exit 7"]) == [7]


async def test_the_poll_tells_no_more_of_a_pipe_that_is_closed_while_a_copy_of_it_is_open(tmp_path: Path) -> None:
    script = ONE_STEP + "copy = os.dup(pipe)\n" + UNTIL_THE_END + "print(json.dumps([len(ended), poll.poll(0)]))"

    assert await run(tmp_path, script) == [1, []]


async def test_a_keeper_whose_step_is_over_wakes_for_nothing(tmp_path: Path) -> None:
    script = ONE_STEP + UNTIL_THE_END + "print(json.dumps([len(ended), house.wake_at()]))"

    assert await run(tmp_path, script) == [1, None]


async def test_a_keeper_stops_keeping_moves_quick_soon_after_the_last_start(tmp_path: Path) -> None:
    script = ONE_STEP.replace("cgroups=None", "cgroups=cgroups")
    script = (
        "import os\nfrom orchestra_worker.cgroup_parent import CgroupParent\n"
        "cgroups = CgroupParent.make(f'orchestra-quick-{os.getpid()}', series='quick')\n" + script
    )
    script += UNTIL_THE_END + (
        "began = clock.monotonic()\n"
        "while (wake_at := house.wake_at()) is not None and clock.monotonic() < began + 10:\n"
        "    poll.poll(max(0.0, wake_at - clock.monotonic()))\n"
        "    house.tick()\n"
        "print(json.dumps([len(ended), house.wake_at()]))\n"
        "if cgroups is not None:\n"
        "    cgroups.close()\n"
    )

    assert await run(tmp_path, script) == [1, None]
