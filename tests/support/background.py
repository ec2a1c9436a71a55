"""Something that goes on beside a test, in a thread, while a `with` is open."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Background(ABC):
    """Works from the beginning of its `with` to the end; what it fails with fails the test, if nothing else has."""

    ends_by_itself = False
    """Whether the end of the `with` waits for it, rather than asking it to end; after a failure it is always asked."""

    def __init__(self, name: str) -> None:
        self._ending = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def _work(self) -> None:
        """In the thread: until it is done, or `_ending` is set."""

    def _ask_to_end(self) -> None:
        """Called by the test's thread."""
        self._ending.set()

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as failure:  # noqa: BLE001 - the thread that waits for this one says it
            self._failure = failure

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or not self.ends_by_itself:
            self._ask_to_end()
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure
