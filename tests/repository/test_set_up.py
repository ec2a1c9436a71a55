"""The set-up that `make demo` and `make test` begin with: what it says where it cannot go on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.repository.tree import ROOT

OLD_PYTHON = """#!/bin/sh
# A Python that knows how to tell its version and how to be too old.
case $2 in
    *print*) echo 3.8.18 ;;
    *) exit 1 ;;
esac
"""
PYTHON_WITHOUT_VENV = f"""#!/bin/sh
case $2 in
    *ensurepip*) exit 1 ;;
    *) exec {sys.executable} "$@" ;;
esac
"""


def program(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def checkout(folder: Path) -> Path:
    """A folder with what the set-up needs of a checkout."""
    (folder / ".ci").mkdir(parents=True)
    shutil.copy(ROOT / ".ci" / "set-up", folder / ".ci")
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").write_text("")
    return folder


def make(folder: Path, python: str) -> subprocess.CompletedProcess[str]:
    """`make demo` in that folder with that interpreter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = ["make", "demo", f"PYTHON={python}"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_an_old_python_gets_one_sentence(tmp_path: Path) -> None:
    python = program(tmp_path / "python3", OLD_PYTHON)

    outcome = make(checkout(tmp_path / "checkout"), str(python))

    assert outcome.returncode != 0
    assert outcome.stdout == ""
    sentence, verdict = outcome.stderr.splitlines()
    assert sentence == (
        f"set-up: {python} is Python 3.8.18, which is too old: "
        "install Python 3.11 or later, or name it (make PYTHON=python3.11)"
    )
    assert verdict.startswith("make: ***")


def test_a_missing_python_gets_one_sentence(tmp_path: Path) -> None:
    outcome = make(checkout(tmp_path / "checkout"), "python-that-is-not-there")

    assert outcome.returncode != 0
    assert outcome.stderr.splitlines()[0] == (
        "set-up: there is no python-that-is-not-there here: "
        "install Python 3.11 or later, or name it (make PYTHON=python3.11)"
    )


def test_a_python_without_its_venv_module_gets_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    python = program(tmp_path / "python3", PYTHON_WITHOUT_VENV)
    folder = checkout(tmp_path / "checkout")

    outcome = make(folder, str(python))

    assert outcome.returncode != 0
    assert "lacks its venv module: install it" in outcome.stderr.splitlines()[0]
    assert not (folder / ".venv").exists()


def test_a_half_made_environment_is_made_again_and_pip_is_heard_when_it_fails(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "checkout")
    (folder / "pyproject.toml").write_text("this is no TOML")
    (folder / ".venv" / "bin").mkdir(parents=True)
    program(folder / ".venv" / "bin" / "python", "#!/bin/sh\nexit 1\n")

    outcome = make(folder, sys.executable)

    assert outcome.returncode != 0
    assert [line.split(":")[0] for line in outcome.stdout.splitlines()] == ["set-up", "set-up"]
    assert "TOMLDecodeError" in outcome.stderr
    assert "set-up: pip could not install .[server]" in outcome.stderr
    assert not (folder / ".venv" / ".installed-server").exists()


def test_without_a_browser_and_without_a_way_to_install_one_the_set_up_says_what_to_do(tmp_path: Path) -> None:
    outcome = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "set-up-browser")],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert outcome.returncode != 0
    assert outcome.stderr == (
        "set-up: the tests of the website need Chromium: "
        "install it, and repeat (Debian, Ubuntu: apt install chromium fonts-dejavu-core)\n"
    )


def test_a_browser_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    program(tmp_path / "chromium", "#!/bin/sh\n")

    outcome = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "set-up-browser")], env={"PATH": str(tmp_path)}, capture_output=True, timeout=60
    )

    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, b"", b"")
