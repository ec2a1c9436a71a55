"""`orchestra service` as a process of its own."""

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.service.listening import SECONDS_MAX


def command(folder: Path, database: str) -> list[str]:
    return [
        *(sys.executable, "-m", "orchestra", "service", "--database", database, "--port", "0"),
        *("--logs", str(folder / "logs"), "--key-file", str(folder / "secret.key")),
    ]


def test_it_serves_over_postgresql_until_it_is_told_to_stop(tmp_path: Path, postgres_url: str) -> None:
    with subprocess.Popen(command(tmp_path, postgres_url), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = process.stderr.readline()
        address = re.search(r"http://\S+", said)
        assert address, said + process.stderr.read()

        with urllib.request.urlopen(f"{address[0]}/api/v1/health/ready", timeout=SECONDS_MAX) as answer:
            assert answer.status == 200
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=SECONDS_MAX)

    assert (process.returncode, rest) == (0, "")


def test_it_refuses_an_sqlite_file_in_one_sentence(tmp_path: Path) -> None:
    ended = subprocess.run(
        command(tmp_path, f"sqlite:///{tmp_path}/orchestra.db"),
        stderr=subprocess.PIPE,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )

    assert ended.returncode not in (0, None)
    assert "an SQLite file belongs to one process: use 'orchestra up'" in ended.stderr
    assert "Traceback" not in ended.stderr
