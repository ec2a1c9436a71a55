"""The heap of a server: what was large and is let go of is the system's again."""

import subprocess
import sys

import pytest

_FREED_BETWEEN = """
import sys
from orchestra.network.heap import give_back_memory

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

if sys.argv[1] == "told":
    give_back_memory()
# One large piece let go of raises glibc's own limit; after it, pieces of 300 KiB lie in the heap like small ones.
del (large := [bytes(16 << 20)])[:]
before = resident()
kept, passing = [], []
for _ in range(200):
    passing.append(bytearray(300 << 10))
    kept.append(bytearray(2000))
del passing[:]
print(resident() - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only there the C library is told")
def test_large_pieces_between_small_ones_that_stay_go_back_to_the_system() -> None:
    def grown(told: str) -> int:
        return int(subprocess.run([sys.executable, "-c", _FREED_BETWEEN, told], capture_output=True, check=True).stdout)

    assert grown("told") < grown("not told") / 4
