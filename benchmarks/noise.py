"""How late the lines of a quiet run can be read, while 50 others print as fast as they can.

`python -m benchmarks.noise [--quick]`; the jobs and the way to look are those of the test about it.
"""

from functools import partial

from benchmarks.gates import Gate, Section
from benchmarks.processes import percentile
from benchmarks.quiet import wait_quiet
from benchmarks.rows import Place, Row, run_alone
from benchmarks.table import plain_table
from tests.faults.test_noise import followed, is_loud, noise
from tests.support.journey import Orchestra, started, wait_until


def measure(place: Place) -> Section:
    """Each line tells when it was written; it is late by then when the log that a client asks for has it."""
    loud, seconds = place.size(50, 4), place.size(30, 4)
    wait_quiet()
    with started(Orchestra(place.folder, slots=0)) as up:
        for _ in noise(up, place.folder, seconds=seconds, slots=loud + 1):
            runs = [up.trigger("ops/noisy") for _ in range(loud)]
            for run in runs:
                wait_until(partial(is_loud, up, run), seconds=60, what="the noise")
            latencies = sorted(1000 * late for late in followed(up, up.trigger("ops/quiet")))
            stored = sum(up.finish(run, seconds=600).log_length for run in runs)
    p50, p99 = percentile(latencies, 0.5), percentile(latencies, 0.99)
    line = (f"{loud}", f"{len(latencies)}", f"{p50:.0f}", f"{p99:.0f}", f"{latencies[-1]:.0f}", f"{stored / 1e6:,.0f}")
    head = ("noisy runs", "lines", "p50 ms", "p99 ms", "most ms", "MB of noise stored")
    return Section(
        gates=(Gate(what="log latency of a quiet run beside 50 noisy ones, p99", limit=1000, measured=p99, unit="ms"),),
        tables=(plain_table(head, [line]),),
    )


ROW = Row(name="noise", title="A quiet run beside noisy ones", measure=measure)

if __name__ == "__main__":
    run_alone(ROW)
