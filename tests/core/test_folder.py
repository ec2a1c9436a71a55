"""One process per folder, and clear words for the second."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from orchestra.errors import FolderInUse, FolderUnusable
from orchestra.folder import lock_folder

HOLD = """
import subprocess, sys
from pathlib import Path
from orchestra.folder import lock_folder
folder = lock_folder(Path(sys.argv[1]), "orchestra up")
child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, close_fds=False, start_new_session=True)
print(child.pid, flush=True)
sys.stdin.read()
"""


def hold(folder: Path) -> tuple["subprocess.Popen[str]", int]:
    """Another process that holds the folder's lock; and its child, which outlives it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    return holder, int(holder.stdout.readline())


def end(holder: "subprocess.Popen[str]") -> None:
    holder.kill()
    holder.communicate()


def test_the_folder_is_made_for_its_user_alone(tmp_path: Path) -> None:
    with lock_folder(tmp_path / "new" / "folder", "a test") as folder:
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert [entry.name for entry in folder.path.iterdir()] == ["lock"]


def test_a_second_process_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    holder, child = hold(tmp_path)
    try:
        with pytest.raises(FolderInUse) as refused:
            lock_folder(tmp_path, "a test")
    finally:
        end(holder)
        os.kill(child, signal.SIGKILL)

    assert refused.value.holder == f"process {holder.pid} (orchestra up)"


def test_the_lock_dies_with_its_process_and_not_with_what_it_started(tmp_path: Path) -> None:
    holder, child = hold(tmp_path)
    end(holder)
    try:
        with lock_folder(tmp_path, "a test"):
            os.kill(child, 0)  # it lives, and does not hold the lock
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_second_lock_in_the_same_process_is_refused_too_until_the_first_is_released(tmp_path: Path) -> None:
    first = lock_folder(tmp_path, "the first")

    with pytest.raises(FolderInUse, match=r"the first"):
        lock_folder(tmp_path, "the second")

    first.release()
    first.release()
    lock_folder(tmp_path, "the second").release()


def test_a_path_that_is_a_file_is_unusable_with_its_cause(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(FolderUnusable, match="File exists"):
        lock_folder(tmp_path / "file", "a test")


def test_a_folder_that_cannot_be_written_is_unusable_with_its_cause() -> None:
    with pytest.raises(FolderUnusable) as refused:
        # Even root cannot make files there.
        lock_folder(Path("/proc/self/task"), "a test")

    assert refused.value.cause


def test_a_full_disk_is_noticed_before_anything_is_trusted_to_it(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from orchestra.errors import FolderUnusable\n"
        "from orchestra.folder import lock_folder\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: lock_folder(Path(sys.argv[1]), 'a test')\n"
        "except FolderUnusable as error: print(error.cause)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True, timeout=30
    )

    assert said.stdout.strip() == "No space left on device"
    assert [entry.name for entry in tmp_path.iterdir()] == ["lock"]
