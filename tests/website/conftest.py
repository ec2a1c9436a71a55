"""Fixtures for the tests of the pages over HTTP: the worlds are those of the service's tests."""

from pathlib import Path

import pytest

from tests.service.conftest import small_world, world

__all__ = ["small_world", "theme_folder", "world"]


@pytest.fixture
def theme_folder(tmp_path: Path) -> Path:
    """A theme with folders for templates and static files, both still empty."""
    for name in ("templates", "static"):
        (tmp_path / "theme" / name).mkdir(parents=True)
    return tmp_path / "theme"
