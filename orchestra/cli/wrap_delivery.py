"""Brings what a wrap keeps to the server, in a thread of its own: nothing here delays or fails the command."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from orchestra.cli.wrap_spool import Spool, SpooledRun
from orchestra.errors import OrchestraError

if TYPE_CHECKING:
    from orchestra.network.client import ApiClient

_GATHER_SECONDS: Final = 0.5
"""Output that comes within so long is sent together."""
_RETRY_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
_RETRY_SECONDS_AFTER_THE_END: Final = 1.0


class Delivery:
    """Delivers one run while it goes on, and then what earlier wraps have left."""

    def __init__(
        self,
        run: SpooledRun,
        spool: Spool,
        *,
        connect: "Callable[[], ApiClient]",
        note: Callable[[str], None],
    ) -> None:
        self._run = run
        self._spool = spool
        self._connect = connect
        self._note = note
        self._news = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._deliver, name="wrap delivery", daemon=True)

    def start(self) -> None:
        """Begins to deliver."""
        self._thread.start()

    def tell(self) -> None:
        """It has printed more."""
        self._news.set()

    def finish(self, seconds_max: float) -> None:
        """Its end is written down: waits until that is delivered, or for so long. The rest is for the next wrap."""
        self._ended.set()
        self._news.set()
        self._thread.join(seconds_max)

    @property
    def is_ended(self) -> bool:
        """Whether its end is written down: nothing more is printed."""
        return self._ended.is_set()

    def wait(self, seconds: float) -> bool:
        """Until there is more to tell, or for so long; False if there is nothing."""
        is_told = self._news.wait(seconds)
        if is_told:
            self._ended.wait(_GATHER_SECONDS)
            self._news.clear()
        return is_told

    def _deliver(self) -> None:
        """The thread: tries until it has gone well, or cannot."""
        tries = 0
        try:
            while not self._has_delivered():
                pause = _RETRY_SECONDS[min(tries, len(_RETRY_SECONDS) - 1)]
                if self.is_ended:
                    time.sleep(min(pause, _RETRY_SECONDS_AFTER_THE_END))
                else:
                    self._ended.wait(pause)
                tries += 1
        except OrchestraError as error:
            self._note(f"this run is not recorded: {error}")
        except Exception as error:  # noqa: BLE001 - a thread's edge: the command goes on, and a person is told
            self._note(f"this run is not recorded, by a defect: {error!r}")

    def _has_delivered(self) -> bool:
        """False if it may go well later; raises OrchestraError if it never will without a person."""
        # Loaded here: the command does not wait for it.
        from orchestra.cli.wrap_upload import is_passing, upload, upload_left_over
        from orchestra.network.problems import AnswerUnreadable, RequestRefused, ServerUnreachable

        client = self._connect()
        is_told = False
        try:
            upload(client, self._run, self)
            is_told = True
            upload_left_over(client, self._spool)
        except (AnswerUnreadable, ServerUnreachable, OSError):
            return is_told
        except RequestRefused as error:
            if not is_told and not is_passing(error):
                raise
            return is_told
        finally:
            client.close()
            if is_told:
                self._run.remove()
        return True
