"""Flow control of logs: how many bytes may be under way, per run and per worker, before the master has acknowledged
some."""

from orchestra.identifiers import AttemptNumber, RunId

AttemptKey = tuple[RunId, AttemptNumber]


class LogWindow:
    """Counts unacknowledged log bytes, so that a fast job can neither fill the master's memory nor starve another
    run."""

    def __init__(self, *, run_bytes: int, worker_bytes: int) -> None:
        self._run_bytes = run_bytes
        self._worker_bytes = worker_bytes
        self._sent: dict[AttemptKey, int] = {}
        self._acknowledged: dict[AttemptKey, int] = {}
        self._under_way = 0

    def start(self, key: AttemptKey, offset: int) -> None:
        """The master has this much: sending goes on from there."""
        self.stop(key)
        self._sent[key] = self._acknowledged[key] = offset

    def stop(self, key: AttemptKey) -> None:
        """Nothing more of this attempt will be sent."""
        if key in self._sent:
            self._under_way -= self._sent.pop(key) - self._acknowledged.pop(key)

    def room(self, key: AttemptKey) -> int:
        """How many bytes of this attempt may be sent now; 0 for one that was not started."""
        if key not in self._sent:
            return 0
        under_way = self._sent[key] - self._acknowledged[key]
        return max(0, min(self._run_bytes - under_way, self._worker_bytes - self._under_way))

    def sent(self, key: AttemptKey, end: int) -> None:
        """The bytes below `end` are on their way."""
        self._under_way += end - self._sent[key]
        self._sent[key] = end

    def acknowledged(self, key: AttemptKey, length: int) -> None:
        """The master has stored the bytes below `length`; an older acknowledgement changes nothing."""
        if key in self._sent and self._acknowledged[key] < length <= self._sent[key]:
            self._under_way -= length - self._acknowledged[key]
            self._acknowledged[key] = length
