"""What a master says in its log when jobs were put into quarantine: after the commit, by the one that noticed."""

import logging
from collections.abc import Iterable

from orchestra.storage.quarantine import Quarantine

logger = logging.getLogger(__name__)


def report_quarantines(found: Iterable[Quarantine]) -> None:
    """A line for each, for whoever is told of the errors of a master."""
    for each in found:
        logger.error("job_quarantined project=%s job=%s reason=%s", each.project, each.job, each.reason)
