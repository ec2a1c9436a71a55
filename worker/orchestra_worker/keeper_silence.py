"""Whether a step is still heard of: it prints, or its attempt's file of check-ins changes."""

import os

LOOKS = 10
"""So often in the time that is allowed the file is looked at: a check-in counts for no more than a tenth too late."""
LATE_SECONDS = 1.0
"""A look that comes later than this was not waited for in vain: the keeper, or its machine, was asleep."""


class Silence:
    """Counts from the newest sign of life. Call `heard` for output, and `is_too_long` whenever `look_at` is reached."""

    def __init__(self, *, seconds: float, check_ins: str, now: float) -> None:
        self._seconds = seconds
        self._check_ins = check_ins
        self._stamp = _stamp(check_ins)
        self._heard_at = now
        self.look_at = now + seconds / LOOKS

    def heard(self, now: float) -> None:
        """There was output."""
        self._heard_at = now

    def is_too_long(self, now: float) -> bool:
        """Looks for check-ins if it is time to, and says whether nothing was heard for so long.

        No clock of the file system is compared with ours: a change counts from the look that finds it.
        """
        if now < self.look_at:
            return False
        # While nobody could speak, or nobody could listen, there was no silence.
        late = now - self.look_at
        if late > LATE_SECONDS:
            self._heard_at = min(self._heard_at + late, now)
        stamp = _stamp(self._check_ins)
        if stamp != self._stamp:
            self._stamp, self._heard_at = stamp, now
        self.look_at = min(self._heard_at + self._seconds, now + self._seconds / LOOKS)
        return now >= self._heard_at + self._seconds


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
