"""Following a pipeline: a line for each of its elements that has changed, instead of a log."""

from orchestra.cli.answers import Elements, ElementShown
from orchestra.cli.invocation import Invocation
from orchestra.cli.pipeline_commands import element_lines
from orchestra.network.client import api
from orchestra.network.problems import RequestRefused, ServerUnreachable


class ElementNews:
    """Says what has changed since the last look."""

    def __init__(self, *, call: Invocation, run: int) -> None:
        self._call = call
        self._path = api("runs", run, "elements")
        self._told: dict[str, ElementShown] = {}

    def tell(self) -> None:
        """Looks, and writes a line for each change; a server that is away is somebody else's to speak of."""
        try:
            found = self._call.client().get(self._path).read(Elements)
        except (RequestRefused, ServerUnreachable):
            return
        news = [each for each in found.elements if self._is_news(each)]
        self._told |= {each.name: each for each in news}
        if news:
            self._call.screen.write("\n".join(element_lines(self._call, news)) + "\n")

    def _is_news(self, element: ElementShown) -> bool:
        before = self._told.get(element.name)
        # That nothing has happened yet is not worth a line.
        return element != before and not (before is None and element.state == "blocked")
