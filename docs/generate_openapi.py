"""Writes docs/openapi.json, the document of the API as the service gives it, so that a review sees what changes."""

import asyncio
import tempfile
from pathlib import Path

import msgspec

from orchestra.clock import SystemClock
from orchestra.logs.store import FileLogStore
from orchestra.sealing import Sealing, new_key
from orchestra.storage.open import open_database
from orchestra.web.assemble import build_web_parts
from orchestra_migrations import upgrade
from orchestra_service.assemble import service_handlers
from orchestra_service.openapi import document_of
from orchestra_service.policy import POLICY

FILE = Path(__file__).parent / "openapi.json"


def generated_text() -> str:
    """The text of the file."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_text(Path(folder)))


async def _text(folder: Path) -> str:
    await asyncio.to_thread(upgrade, folder)
    database = await open_database(folder)
    try:
        parts = build_web_parts(
            database=database,
            clock=SystemClock(),
            wrapped_logs=FileLogStore(folder / "logs"),
            logs=FileLogStore(folder / "logs"),
            sealing=Sealing(key=new_key()),
            closing=asyncio.Event(),
        )
        document = document_of(service_handlers(parts), POLICY)
    finally:
        await database.close()
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1).decode() + "\n"


if __name__ == "__main__":
    FILE.write_text(generated_text(), encoding="utf-8")
