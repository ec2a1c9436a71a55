"""The keeper among the control groups of its steps: it need not have left a group when the step in it is over."""

import json
import subprocess
import sys

import pytest

from tests.support.cgroups import needs_cgroup

pytestmark = needs_cgroup

BEGIN = """
import json, os, select, subprocess, time
from orchestra_worker.cgroup_parent import CgroupParent
from orchestra_worker.process_tree import ProcessTree

parent = CgroupParent.make(f"orchestra-parent-{os.getpid()}", series="test")
group = parent.ready()
tree = ProcessTree(marker="none", leader=None, cgroup=group)
child = subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE)
parent.give()
facts = {"with a child": [tree.has_leftovers(), tree.pids() == {child.pid}]}
child.communicate(b"end\\n")
"""
END = """
parent.close()
facts["closed"] = os.path.exists(os.path.dirname(group.path))
print(json.dumps(facts))
"""


def facts_of(script: str) -> dict[str, object]:
    """What a process of its own found out: one that moves is not in the group of its tests any more."""
    done = subprocess.run([sys.executable, "-c", BEGIN + script + END], check=True, capture_output=True, timeout=60)
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_step_is_over_though_the_keeper_is_still_in_its_group() -> None:
    found = facts_of("""
facts["alone"] = [tree.has_leftovers(), tree.remove(), os.path.exists(group.path)]
parent.ready()
facts["elsewhere"] = [tree.has_leftovers(), os.path.exists(group.path)]
""")

    assert found == {
        "with a child": [True, True],
        "alone": [False, False, True],
        "elsewhere": [False, False],
        "closed": False,
    }


@pytest.mark.parametrize("rest_seconds", [0.0, 0.1], ids=["at once", "after a rest"])
def test_a_group_is_removed_once_the_keeper_has_left_it_beside_what_else_it_does(rest_seconds: float) -> None:
    found = facts_of(f"""
time.sleep({rest_seconds})
parent.move_on()
tree.remove()
again = parent.ready()
deadline = time.monotonic() + 10
while os.path.exists(group.path) and time.monotonic() < deadline:
    select.select([], [], [], 0.001)
facts["left"] = [os.path.exists(group.path), again.path != group.path, again.pids() == {{os.getpid()}}]
""")

    assert found["left"] == [False, True, True]
    assert found["closed"] is False


def test_a_process_is_born_in_the_group_that_was_promised_though_a_move_is_under_way() -> None:
    found = facts_of("""
facts["born"] = []
for _ in range(20):
    time.sleep(0.02)
    parent.move_on()
    mine = parent.ready()
    other = subprocess.Popen(["/bin/sh", "-c", "read line"], stdin=subprocess.PIPE)
    parent.give()
    facts["born"].append(other.pid in mine.pids())
    other.communicate(b"end\\n")
    mine.remove()
""")

    assert found["born"] == [True] * 20
    assert found["closed"] is False
