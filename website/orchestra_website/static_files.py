"""Static files: few and small, read once, under names that change with their content, so that browsers keep them."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response

from orchestra.errors import NotFound
from orchestra.web.asking import Asking

_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
}
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}


@dataclass(frozen=True, slots=True)
class _StaticFile:
    content: bytes
    media_type: str
    digest: str


class StaticFiles:
    """The package's files, each shadowed by the theme's of the same name."""

    def __init__(self, theme_folder: Path | None) -> None:
        self._files: dict[str, _StaticFile] = {}
        for entry in files("orchestra_website").joinpath("static").iterdir():
            self._add(entry.name, entry.read_bytes())
        if theme_folder is not None and (theme_folder / "static").is_dir():
            for path in sorted((theme_folder / "static").iterdir()):
                self._add(path.name, path.read_bytes())

    def _add(self, name: str, content: bytes) -> None:
        media_type = _TYPES.get(Path(name).suffix)
        if media_type is not None:
            self._files[name] = _StaticFile(content, media_type, sha256(content).hexdigest()[:16])

    @property
    def names(self) -> Mapping[str, int]:
        """Every file with its size in bytes."""
        return {name: len(file.content) for name, file in self._files.items()}

    def address(self, name: str) -> str:
        """Where the file is, with its digest."""
        return f"/static/{self._files[name].digest}/{name}"

    async def serve(self, asking: Asking) -> Response:
        """The file; an older digest gets today's content, but not for ever."""
        file = self._files.get(asking.path("name"))
        if file is None:
            raise NotFound("file", asking.path("name")[:80])
        is_current = asking.path("digest") == file.digest
        headers = {**(_FOREVER if is_current else {}), "etag": f'"{file.digest}"'}
        return Response(file.content, media_type=file.media_type, headers=headers)
