"""What each project had of the workers' slots lately: slot-seconds that fade. The one with the least goes first."""

from collections.abc import Iterable, Mapping

from orchestra.identifiers import ProjectId
from orchestra.limits import SHARE_HALF_LIFE_SECONDS, SHARE_OF_A_START_SECONDS, SHARE_STEP_SECONDS_MAX
from orchestra.storage.resources import SlotUse


class Shares:
    """As one master sees it; it begins anew with the master, since a share is no promise about one run."""

    def __init__(self) -> None:
        self._had: dict[ProjectId, float] = {}
        self._seen_at: float | None = None

    def observe(self, in_use: Iterable[SlotUse], now: float) -> None:
        """Charges what runs at this moment for the time since the last look; `now` is monotonic, in seconds."""
        passed = 0.0 if self._seen_at is None else now - self._seen_at
        self._seen_at = now
        fading = 0.5 ** (passed / SHARE_HALF_LIFE_SECONDS)
        self._had = {project: faded for project, had in self._had.items() if (faded := had * fading) > _NOTHING}
        # What was used long before this look is not known: whoever looks seldom has nobody to divide among.
        seconds = min(passed, SHARE_STEP_SECONDS_MAX)
        for each in in_use:
            self._had[each.project] = self._had.get(each.project, 0.0) + each.slots * seconds

    def charge(self, started: Mapping[ProjectId, int]) -> None:
        """Charges so many slots that were just given: runs may be over before they are seen."""
        for project, slots in started.items():
            self._had[project] = self._had.get(project, 0.0) + slots * SHARE_OF_A_START_SECONDS

    def had(self) -> dict[ProjectId, float]:
        """In slot-seconds; nothing of a project that is not there."""
        return dict(self._had)


_NOTHING = 1e-6
