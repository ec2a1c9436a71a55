"""Results, check-ins and the job's own words: through files, bounded and masked."""

from pathlib import Path

import pytest

from orchestra.job_context import BadJobContext, NotInAJob, checkin, set_result
from orchestra.limits import RESULTS_BYTES_MAX
from orchestra_worker.check_in import CheckInLine, read_check_ins
from orchestra_worker.results import BadResults, changed_results, read_results


def masked(text: str) -> str:
    return text.replace("hunter22", "********").replace("12345678", "********")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORCHESTRA_RESULTS", str(tmp_path / "results.json"))
    monkeypatch.setenv("ORCHESTRA_CHECKINS", str(tmp_path / "checkins"))
    return tmp_path


def test_what_a_job_sets_is_read_and_only_what_changed_is_told(job: Path) -> None:
    set_result("version", "1.2")
    first = read_results(job / "results.json", mask_text=masked)
    set_result("count", {"lines": [1, 2]})
    second = read_results(job / "results.json", mask_text=masked)

    changed = changed_results(first, second)

    assert {name: bytes(value) for name, value in changed.items()} == {"count": b'{"lines": [1, 2]}'}


def test_secrets_in_results_are_masked_and_the_values_stay_json(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text('{"key": "a hunter22 b", "number": 12345678, "other": 5}')

    results = read_results(path, mask_text=masked)

    assert {name: bytes(value) for name, value in results.items()} == {
        "key": b'"a ******** b"',
        "number": b'"******"',
        "other": b"5",
    }


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{oops", "no JSON object"),
        (b"[1]", "no JSON object"),
        (b'{"a": }', "no JSON object"),
        (b"\xff\xfe", "no JSON object"),
        (b'{"": 1}', "empty or longer"),
        (b'"' + b"x" * RESULTS_BYTES_MAX + b'"', "more than 524288 bytes"),
    ],
)
def test_bad_results_are_told_in_a_sentence(tmp_path: Path, content: bytes, complaint: str) -> None:
    path = tmp_path / "results.json"
    path.write_bytes(content)

    with pytest.raises(BadResults, match=complaint):
        read_results(path, mask_text=masked)


@pytest.mark.parametrize("content", [None, b"", b" \n"])
def test_no_results_are_no_fault(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "results.json"
    if content is not None:
        path.write_bytes(content)

    assert read_results(path, mask_text=masked) == {}


def test_a_job_cannot_keep_more_than_the_bound_nor_what_is_no_json(job: Path) -> None:
    set_result("kept", 1)
    with pytest.raises(BadJobContext, match="at most 524288 are kept"):
        set_result("big", "x" * RESULTS_BYTES_MAX)
    with pytest.raises(BadJobContext, match="is no JSON value"):
        set_result("odd", {1, 2})

    assert [*read_results(job / "results.json", mask_text=masked)] == ["kept"]


def test_outside_of_a_step_the_words_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORCHESTRA_CHECKINS", raising=False)

    with pytest.raises(NotInAJob, match="ORCHESTRA_CHECKINS is not set"):
        checkin(0.5)


def test_the_newest_whole_check_in_is_read_and_strange_lines_are_skipped(job: Path) -> None:
    path = job / "checkins"
    checkin(0.1, "one")
    checkin(0.2, "two")
    with path.open("ab") as file:
        file.write(b'nonsense\n{"progress": 7}\n{"progress": 0.3')

    read = read_check_ins(path, 0)
    again = read_check_ins(path, read.offset)

    assert read.newest == CheckInLine(progress=0.2, text="two")
    assert (again.newest, again.offset) == (None, read.offset)


@pytest.mark.parametrize(("progress", "text"), [(1.5, ""), (-0.1, ""), (None, "x" * 501)])
def test_a_check_in_out_of_bounds_is_refused(job: Path, progress: float | None, text: str) -> None:
    with pytest.raises(BadJobContext):
        checkin(progress, text)

    assert not (job / "checkins").exists()


def test_what_is_nested_too_deeply_is_refused_and_harms_nobody(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    (tmp_path / "results.json").write_text(f'{{"deep": {deep}}}')
    (tmp_path / "checkins").write_text(f'{{"progress": 0.5}}\n{{"deep": {deep}}}\n')

    with pytest.raises(BadResults):
        read_results(tmp_path / "results.json", mask_text=masked)

    newest = read_check_ins(tmp_path / "checkins", 0).newest
    assert newest is None or newest == CheckInLine(progress=0.5)
