"""Archives of runs over HTTP."""

from starlette.responses import Response, StreamingResponse

from orchestra.queries.addresses import API
from orchestra.queries.archives import archive_of_run
from orchestra.web.asking import Asking
from orchestra.web.endpoint import Handlers
from orchestra.web.parts import WebParts
from orchestra_service.archive import Archive, archive_name
from orchestra_service.operation import Operation

ZIP = "application/zip"


class ArchiveRoutes:
    """The handler for archives."""

    def __init__(self, *, parts: WebParts) -> None:
        self._database = parts.database
        self._logs = parts.logs
        self._clock = parts.clock

    @property
    def handlers(self) -> Handlers:
        """By method and path."""
        return {("GET", f"{API}/runs/{{run}}/archive"): Operation(self.download, kind=ZIP)}

    async def download(self, asking: Asking) -> Response:
        """The run as a zip: itself, its job, parameters, history, steps and results as JSON, and every attempt's log.

        Of a run that is not over it holds what there is so far. Secret parameters are not in it.
        """
        asking.query()
        run, now = asking.run(), self._clock.now()
        archived = await self._database.read(lambda connection: archive_of_run(connection, asking.who, run, now=now))
        headers = {"content-type": ZIP, "content-disposition": f'attachment; filename="{archive_name(run)}"'}
        if asking.request.method == "HEAD":
            return Response(headers=headers)
        return StreamingResponse(Archive(archived=archived, logs=self._logs).pieces(), headers=headers)
