"""The simulator is not blind: it finds every planted defect, and by the promise which that defect breaks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.mutants.planting import Graft
from tests.simulation.mutants.recorded import NOT_FOUND_YET, SEEDS

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command in a process of its own, with the order of sets that seeds are recorded for."""
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=3000, check=False)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("name", sorted(SEEDS))
def test_a_planted_defect_is_found_within_a_thousand_seeds(name: str) -> None:
    found = run("tests.simulation.mutants", "--recorded-first", name)

    assert found.returncode == 0, found.stdout + found.stderr


def test_what_is_not_found_yet_is_named() -> None:
    assert MUTANTS.keys() - SEEDS.keys() == NOT_FOUND_YET.keys()


@pytest.mark.timeout(600)
def test_without_a_defect_the_same_seeds_break_no_promise() -> None:
    seeds = sorted({str(seed) for seeds in SEEDS.values() for seed in seeds}, key=int)

    clean = run("tests.simulation", "--seeds", ",".join(seeds))

    assert clean.returncode == 0, clean.stdout + clean.stderr


@pytest.fixture
def owner() -> type:
    class Owner:
        word = "sound"

    return Owner


def test_what_was_replaced_is_given_back(owner: type) -> None:
    graft = Graft()
    graft.replace(owner, "word", "broken")

    graft.undo()

    assert vars(owner)["word"] == "sound"


def test_what_does_not_exist_cannot_be_replaced(owner: type) -> None:
    with pytest.raises(KeyError):
        Graft().replace(owner, "renamed", "broken")
