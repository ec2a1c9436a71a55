"""`python -m tests.faults.soak`, or `make soak`: half an hour of mixed runs under faults of every kind.

It ends with 1 for a violation, for memory or descriptors that grow, and for a kind of fault that did not come.
"""

import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import click

from tests.faults.fired import Fired, chosen_seed
from tests.faults.own_connection import own_connection
from tests.faults.soak.breaking import Breaking
from tests.faults.soak.havoc import Havoc
from tests.faults.soak.installation import installed
from tests.faults.soak.page import DOCS, Soak, section, write_page
from tests.faults.soak.plot import plot
from tests.faults.soak.samples import EVERY_SECONDS, Sampler
from tests.faults.soak.slopes import growths
from tests.faults.soak.ticking import Ticking
from tests.faults.soak.verdict import judge
from tests.faults.soak.workload import Workload
from tests.faults.witness import Witness
from tests.support.journey import end_marked_processes

SAMPLES_MIN = 90
"""In a short soak they are taken more often."""


@click.command()
@click.option("--minutes", default=30.0, show_default=True, help="How long runs are triggered and things are broken.")
@click.option("--runs", default=10_000, show_default=True, help="How many are triggered in this time.")
@click.option("--workers", default=20, show_default=True)
@click.option("--write/--no-write", default=True, help="Whether the page is written, or the figures only printed.")
def main(*, minutes: float, runs: int, workers: int, write: bool) -> None:
    """Soaks an installation, judges it, and writes the page."""
    seed = chosen_seed()
    click.echo(f"seed {seed}: ORCHESTRA_FAULT_SEED={seed} takes the same choices")
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{secrets.token_hex(3)}-"))
    try:
        soak, picture = soaked(folder, minutes=minutes, runs=runs, workers=workers, seed=seed)
    except BaseException:
        click.echo(f"what is left of it is in {folder}", err=True)
        raise
    finally:
        end_marked_processes(str(folder))
    text = section(soak)
    click.echo(text)
    if write:
        write_page(text, picture)
    else:
        (folder / "soak.svg").write_text(picture)
    if soak.shortfalls or not write:
        click.echo(f"what is left of it is in {folder}", err=True)
    else:
        shutil.rmtree(folder)
    raise SystemExit(bool(soak.shortfalls))


def soaked(folder: Path, *, minutes: float, runs: int, workers: int, seed: int) -> tuple[Soak, str]:
    """All of it, and its picture."""
    fired, witness, seconds = Fired(), Witness(folder), 60 * minutes
    with installed(folder, workers=workers) as made, own_connection(made.instance) as own:
        half = time.monotonic() + seconds / 2
        breaking = Breaking(made, fired=fired, spares=lambda: time.monotonic() > half)
        ticking = Ticking(made.instance, witness)
        with (
            Sampler(made, every_seconds=min(EVERY_SECONDS, seconds / SAMPLES_MIN)) as sampler,
            Workload(own, witness, folder=folder, seed=seed, runs=runs, seconds=seconds) as workload,
            Havoc(breaking, seed=seed, seconds=seconds),
        ):
            pass  # each has its own end, and the sampler's is the last one
        click.echo(f"{workload.counts.total():,} runs, {len(breaking.struck)} faults; now all is quiet, and judged")
        made.await_everybody()
        ticking.end()
        verdict = judge(made, witness, workload, ticking, breaking, seed=seed)
    samples = sampler.samples
    soak = Soak(
        minutes=minutes,
        workers=workers,
        seed=seed,
        commit=_commit(),
        kinds=workload.counts,
        struck=breaking.struck,
        missing=sorted(set(breaking.kinds) - set(fired.counts)),
        samples=samples,
        growths=growths(samples),
        verdict=verdict,
    )
    return soak, plot(samples, breaking.struck, seconds=seconds)


def _commit() -> str:
    asked = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=DOCS, capture_output=True, text=True)
    return asked.stdout.strip() or "unknown"


if __name__ == "__main__":
    main()
