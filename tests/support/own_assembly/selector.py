"""A choice of workers that the product does not have."""

from collections.abc import Sequence

from orchestra.matching import NO_HISTORY, RunHistory
from orchestra.specification import Matching
from orchestra_master.selection import Candidate


class LastByName:
    """Takes the candidate whose name comes last in the alphabet, however little it has to offer."""

    def select(
        self, matching: Matching, candidates: Sequence[Candidate], history: RunHistory = NO_HISTORY
    ) -> Candidate:
        """The candidate that gets the run."""
        return max(candidates, key=lambda each: each.name)
