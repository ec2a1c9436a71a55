"""When a step is silent: counted from what it prints and checks in, on a clock of the test."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestra_worker.keeper_silence import Silence


@pytest.fixture
def check_ins(tmp_path: Path) -> Path:
    """Where the job would write them."""
    return tmp_path / "checkins"


def silence(check_ins: Path, *, seconds: float = 100.0) -> Silence:
    """Of a step that begins at 0."""
    return Silence(seconds=seconds, check_ins=str(check_ins), now=0.0)


def ends_at(watch: Silence, *, from_: float = 0.0, step: float = 1.0) -> float:
    """When it is said to be too long, by a keeper that looks that often."""
    now = from_
    while not watch.is_too_long(now):
        now += step
        assert now < 10_000
    return now


def test_a_step_that_says_nothing_is_silent_after_that_time_and_not_before(check_ins: Path) -> None:
    assert ends_at(silence(check_ins)) == 100


@pytest.mark.parametrize("heard", [0.0, 5.0, 50.0, 99.0])
def test_output_counts_from_its_own_moment(check_ins: Path, heard: float) -> None:
    watch = silence(check_ins)
    before = [watch.is_too_long(float(now)) for now in range(int(heard) + 1)]
    watch.heard(heard)

    assert not any(before)
    assert ends_at(watch, from_=heard) == 100 + heard


@pytest.mark.parametrize("moment", [1, 15, 55, 99])
def test_a_check_in_counts_and_at_most_a_tenth_too_late(check_ins: Path, moment: int) -> None:
    watch = silence(check_ins)
    for now in range(moment):
        assert not watch.is_too_long(now)
    check_ins.write_text('{"progress": 0.5}\n')

    end = ends_at(watch, from_=moment)

    assert moment + 100 <= end <= moment + 110


def test_check_ins_of_the_step_before_do_not_count(check_ins: Path) -> None:
    check_ins.write_text('{"progress": 0.5}\n')

    assert ends_at(silence(check_ins)) == 100


def test_a_check_in_that_leaves_the_files_length_as_it_was_counts(check_ins: Path) -> None:
    check_ins.write_text("a\n")
    watch = silence(check_ins)
    os.utime(check_ins, ns=(1, 1))

    assert ends_at(watch) > 100


@pytest.mark.parametrize("clock", [-3600, 3600])
def test_the_file_systems_clock_does_not_matter(check_ins: Path, clock: int) -> None:
    watch = silence(check_ins)
    check_ins.write_text("a\n")
    os.utime(check_ins, (clock + 10_000, clock + 10_000))

    assert 100 <= ends_at(watch) <= 110


def test_while_the_keeper_or_its_machine_sleeps_there_is_no_silence(check_ins: Path) -> None:
    watch = silence(check_ins)
    assert not watch.is_too_long(9.0)

    assert not watch.is_too_long(3609.0)
    assert 3609 + 90 <= ends_at(watch, from_=3609.0) <= 3609 + 100


def test_there_are_few_looks(check_ins: Path) -> None:
    watch, looks, now = silence(check_ins, seconds=600.0), 0, 0.0
    while now < 600:
        now, looks = watch.look_at, looks + 1
        assert watch.is_too_long(now) is (now >= 600)

    assert looks == 10


@settings(max_examples=200, deadline=None)
@given(signs=st.lists(st.tuples(st.floats(0.0, 130.0), st.booleans()), max_size=12))
def test_it_ends_after_the_last_sign_that_came_in_time_and_never_earlier(signs: list[tuple[float, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_ins, now, begun = Path(folder) / "checkins", 0.0, 0.0
        watch = silence(check_ins)
        for count, (gap, is_check_in) in enumerate(signs, start=1):
            sign_at = begun + gap
            while watch.look_at <= sign_at and not watch.is_too_long(now := watch.look_at):
                pass
            if now >= begun + 100:
                break
            if is_check_in:
                check_ins.write_text("x" * count)
            else:
                watch.heard(sign_at)
            begun = now = sign_at
        while not watch.is_too_long(now):
            now = max(now, watch.look_at)

    assert begun + 100 <= now + 1e-6
    assert now <= begun + 110 + 1e-6
