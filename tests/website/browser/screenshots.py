"""Pictures of every page, to be looked at: `make screenshots` writes them into `screenshots/`."""

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tests.support.journey import end_marked_processes
from tests.website.browser.browsing import PHONE, WIDE, Browsing, chromium, resize
from tests.website.browser.samples import ERRORS, SAMPLES, Sample
from tests.website.browser.seeded import seeded_instance

FOLDER = Path("screenshots")


def file_name(sample: Sample) -> str:
    """The address as the name of a file; who looks stands at its end if it is not an administrator."""
    words = re.sub(r"[^a-z0-9]+", "-", sample.path.lower()).strip("-") or "home"
    return words if sample.name == "ada" else f"{words}-as-{sample.name or 'nobody'}"


def picture(browsing: Browsing, sample: Sample, folder: Path) -> None:
    """A page in light, in dark, on a phone, and without scripts."""
    path = sample.path.format_map(browsing.seeded.numbers)
    for script in (True, False):
        page = browsing.page(sample.name, script=script)
        page.goto(path)
        for variant, scheme, size in (
            ("light", "light", WIDE),
            ("dark", "dark", WIDE),
            ("phone", "light", PHONE),
        ):
            if not script and variant != "light":
                continue
            resize(page, size)
            page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            name = f"{file_name(sample)}.{variant if script else 'without-scripts'}.png"
            page.screenshot(path=folder / name, full_page=True)
        page.context.close()


def main() -> None:
    """Starts an instance, pictures every page of it, and ends it."""
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    chosen = [sample for samples in (*SAMPLES.values(), ERRORS) for sample in samples]
    wanted = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        try:
            with seeded_instance(Path(folder)) as seeded, chromium() as browser:
                browsing = Browsing(browser, seeded)
                for sample in chosen:
                    if not wanted or any(word in sample.path for word in wanted):
                        picture(browsing, sample, FOLDER)
                for word in browsing.watch.words:
                    print(word)
        finally:
            end_marked_processes(folder)
    print(f"{len(list(FOLDER.iterdir()))} pictures are in {FOLDER.absolute()}")


if __name__ == "__main__":
    main()
