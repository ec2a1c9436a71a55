"""Output of every form, to its last byte, however a job ends; and whoever looks at it meanwhile gets a page."""

import random
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.fired import Fired
from tests.faults.process_figures import forget_peak, resident_bytes, resident_peak_bytes
from tests.faults.reader import reader
from tests.faults.written_log import BLOCK_BYTES, WRITER, assert_stored, stored_file
from tests.support.figures import figure
from tests.support.journey import PYTHON, Orchestra, keeper_of, marked_processes, running, started, wait_until

MEBIBYTE = 1 << 20
GROWTH_BYTES_MAX = 100 * MEBIBYTE
FINAL_SECONDS_MAX = figure(2.0)
PAGE_SECONDS_MAX = figure(10.0)
JOBS = "orchestra: 1\nproject: ops\njobs:\n"
ANSI = b"".join(b"\x1b[%dm%d\x1b[0m" % (30 + number % 8, number) for number in range(20))


def job(name: str, *lines: str) -> str:
    """One more job of shell text."""
    return f"  {name}:\n    run: |\n" + "".join(f"      {line}\n" for line in lines)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the instance of these tests lives."""
    return tmp_path_factory.mktemp("output-forms")


@pytest.fixture(scope="module")
def up(folder: Path) -> Iterator[Orchestra]:
    """One for all of these tests, with a worker: what one of them costs in memory is not given to the next."""
    with started(Orchestra(folder, slots=0)) as instance, running(instance.worker(folder, "atlas", slots=4)):
        wait_until(lambda: instance.connected("atlas"), what="the worker")
        instance.apply(JOBS.replace("ops", "warm") + job("warm", "echo warm"))
        instance.finish(instance.trigger("warm/warm"))
        yield instance


@pytest.fixture(scope="module")
def beginning(up: Orchestra, folder: Path) -> Mapping[str, int]:
    """What the programs had in memory at first."""
    return {name: resident_bytes(pid) for name, pid in ours(up, folder).items()}


def ours(up: Orchestra, folder: Path) -> Mapping[str, int]:
    """The programs whose memory is bounded."""
    return {"up": up.program.pid, "keeper": keeper_of(folder / "atlas")}


ENDS = {
    "no newline at the end": ("printf 'first\\nlast words'", b"first\nlast words"),
    "much and then nothing at once": ("head -c 3000000 /dev/zero; kill -9 $$", bytes(3_000_000)),
    "closed early": ("echo open; exec >&- 2>&-; sleep 0.3", b"open\n"),
    "closed by turns": ("echo one; exec 1>&-; echo two >&2; exec 2>&-; true", b"one\ntwo\n"),
    "a child writes after its parent": ("echo parent; (sleep 0.2; echo child) & exit 0", b"parent\nchild\n"),
    "nothing at all": ("true", b""),
    "only a newline": ("echo", b"\n"),
}


@pytest.mark.parametrize("what", ENDS)
def test_the_last_byte_is_stored_soon_after_the_end(up: Orchestra, folder: Path, fired: Fired, what: str) -> None:
    script, output = ENDS[what]
    end = f"trap 'date +%s%N > {folder}/end' EXIT" if "kill" not in script else f"date +%s%N > {folder}/end"
    up.apply(JOBS + job("ends", end, script))

    run = up.finish(up.trigger("ops/ends"))
    fired(what)

    ended = datetime.fromisoformat(str(run.attempts[0]["ended_at"])).timestamp()
    assert (run.state, run.exit_code) == (("failed", -9) if "kill" in script else ("succeeded", 0)), run.reason
    assert up.log(run.id) == output
    assert ended - int((folder / "end").read_text()) / 1e9 <= FINAL_SECONDS_MAX
    assert not marked_processes(f"{folder}/atlas/attempts/{run.id}-")


FORMS = {
    "a million escape sequences": ANSI * 25_000,
    "escape sequences that never end": b"\x1b[" * 500_000 + b"\x1b]0;title" * 1000 + b"\x1b]8;;http://nowhere",
    "lone carriage returns": b"".join(b"\r%d %%" % number for number in range(300_000)),
    "zeros": bytes(5_000_000) + b"\nafter them\n",
    "invalid UTF-8": random.Random(20).randbytes(3_000_000) + b"\xed\xa0\x80\xff\xfe\xc3\n" * 100_000,
    "markup": b"<script>alert(1)</script><!--</pre>]]>&amp;\n" * 50_000,
    "a million empty lines": b"\n" * 1_000_000,
}


@pytest.mark.parametrize("what", FORMS)
def test_output_of_every_form_is_stored_as_it_is_and_has_a_page(
    up: Orchestra, folder: Path, beginning: Mapping[str, int], fired: Fired, what: str
) -> None:
    (folder / "content").write_bytes(FORMS[what])
    up.apply(JOBS + job("form", f"cat {folder}/content"))

    with reader(up) as person:
        number = up.trigger("ops/form")
        while not up.run(number).is_over:
            person.page(f"/runs/{number}/log")
        run = up.finish(number)
        forget_peak(up.program.pid)
        pages = [
            person.page(f"/runs/{number}{path}")
            for path in (
                "",
                "/log",
                "/log?line=1",
                "/log?line=900000",
                "/log?q=after",
                "/log?offset=4000000",
            )
        ]
        fired(what)

    assert run.state == "succeeded", run.reason
    assert stored_file(up, number).read_bytes() == FORMS[what]
    assert re.findall("[\0-\x08\x0b-\x1f]|<script>alert", "".join(pages).replace("\r\n", "\n")) == []
    assert resident_peak_bytes(up.program.pid) - beginning["up"] <= GROWTH_BYTES_MAX
    assert person.slowest_seconds <= PAGE_SECONDS_MAX
    assert "Traceback" not in up.program.output


@pytest.mark.parametrize("mebibytes", [64, pytest.param(1024, marks=[pytest.mark.long, pytest.mark.timeout(900)])])
def test_a_line_without_an_end_is_stored_in_bounded_memory_while_somebody_looks(
    up: Orchestra, folder: Path, beginning: Mapping[str, int], fired: Fired, seed: int, mebibytes: int
) -> None:
    (folder / "writer.py").write_text(WRITER)
    up.apply(JOBS + f"  line:\n    command: [{PYTHON}, {folder}/writer.py, '{seed}', '{mebibytes}', '2d']\n")
    for pid in ours(up, folder).values():
        forget_peak(pid)

    with reader(up) as person:
        number = up.trigger("ops/line")
        while not up.run(number).is_over:
            person.page(f"/runs/{number}/log")
            person.page(f"/runs/{number}/log?line=1&offset={mebibytes * BLOCK_BYTES // 2}")
            fired("look")
        run = up.finish(number)

    assert run.state == "succeeded", run.reason
    assert_stored(up, run, seed, mebibytes, b"-")
    growth = {name: resident_peak_bytes(pid) - beginning[name] for name, pid in ours(up, folder).items()}
    assert max(growth.values()) <= GROWTH_BYTES_MAX, growth
    assert person.slowest_seconds <= PAGE_SECONDS_MAX
