"""Secrets at rest, and the key that is made once."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestra.errors import FolderUnusable
from orchestra.sealing import Sealing, Unsealable, new_key, read_or_make_key


def test_what_was_sealed_is_opened_by_the_same_key_only() -> None:
    key = new_key()
    sealed = Sealing(key=key).seal({"api-key": "hunter2-hunter2"})

    opened = Sealing(key=key).open(sealed)

    assert opened == {"api-key": "hunter2-hunter2"}
    assert "hunter2" not in sealed
    with pytest.raises(Unsealable, match="sealed with another key"):
        Sealing(key=new_key()).open(sealed)


def test_a_fingerprint_is_the_same_for_the_same_content_and_key_only() -> None:
    key = new_key()

    prints = {Sealing(key=key).fingerprint(b"a"), Sealing(key=key).fingerprint(b"a")}

    assert len(prints | {Sealing(key=key).fingerprint(b"b"), Sealing(key=new_key()).fingerprint(b"a")}) == 3


def test_the_key_file_is_private_and_made_once_however_many_ask(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"

    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: read_or_make_key(path), range(16)))

    assert len(keys) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_hold_the_key_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(FolderUnusable, match="cannot be used"):
        read_or_make_key(tmp_path / "missing" / "secret.key")


def test_a_key_of_the_wrong_length_is_refused_before_there_is_a_secret() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealing(key=b"c2hvcnQ=")
