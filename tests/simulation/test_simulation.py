"""The simulator in the suite: some seeds, the seeds that once failed, and the same trace in every process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEEDS_FILE = Path(__file__).with_name("seeds.txt")
SEEDS = 300


def simulate(*arguments: str, hash_seed: str = "0") -> "subprocess.CompletedProcess[str]":
    """The command that people type, in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900, check=False)


def test_no_promise_is_broken_in_some_hundred_worlds_and_every_kind_of_fault_happens() -> None:
    done = simulate(str(SEEDS), "--every-fault")

    assert done.returncode == 0, done.stdout + done.stderr


def test_no_seed_that_once_failed_fails_again() -> None:
    seeds = [line.split()[0] for line in SEEDS_FILE.read_text().splitlines() if line and not line.startswith("#")]

    done = simulate("--seeds", ",".join(seeds))

    assert done.returncode == 0, done.stdout + done.stderr


def test_a_seed_gives_the_same_trace_in_every_process() -> None:
    traces = {simulate("20", "--digest", hash_seed=hash_seed).stdout for hash_seed in ("0", "7", "random")}

    assert len(traces) == 1
