"""Help is there at once: what it imports is counted, not timed."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "alembic",
    "asyncio",
    "asyncpg",
    "croniter",
    "cryptography",
    "email",
    "http.client",
    "httpx2",
    "msgspec",
    "sqlalchemy",
    "ssl",
    "starlette",
    "uvicorn",
    "websockets",
    "yaml",
}

HELP = ["", "trigger", "runs", "run show", "logs", "apply", "validate", "init", "jobs", "workers", "worker drain"]
HELP += ["schedules", "login", "user create", "token create", "db", "db upgrade", "checkin", "result set", "version"]


@pytest.mark.parametrize("words", HELP)
def test_help_imports_nothing_heavy(words: str, tmp_path: Path) -> None:
    """Neither libraries nor the standard library's expensive corners."""
    script = (
        "import sys; from orchestra.cli.program import main; code = main(sys.argv[1:]);"
        "print('\\nMODULES', *sys.modules); sys.exit(code)"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script, *words.split(), "--help"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr
    assert "Usage: orchestra" in ended.stdout
    imported = set(ended.stdout.rpartition("MODULES")[2].split())
    assert not imported & HEAVY


def test_every_word_of_the_table_can_be_loaded(tmp_path: Path) -> None:
    """A row that points nowhere would be found by a user."""
    script = (
        "from importlib import import_module\n"
        "from orchestra.cli.program import WORDS\n"
        "for name, word in WORDS.items():\n"
        "    module, _, attribute = word.place.partition(':')\n"
        "    if module.startswith('orchestra.cli'):\n"
        "        assert getattr(import_module(module), attribute).get_short_help_str(), name\n"
    )

    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, timeout=60, check=True)
