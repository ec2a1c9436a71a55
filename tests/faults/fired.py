"""By which a test proves that its faults have really happened, and the seed of its choices."""

import os
import random
from collections import Counter

SEED_NAME = "ORCHESTRA_FAULT_SEED"


class Fired:
    """Counts faults by kind, when their effect was seen; a test that ends without one has proved nothing."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._wanted: set[str] = set()

    def __call__(self, kind: str, count: int = 1) -> None:
        """So many faults of this kind have happened."""
        self.counts[kind] += count

    def want(self, *kinds: str) -> None:
        """Each of these must happen at least once."""
        self._wanted |= set(kinds)

    def assert_all(self) -> None:
        """Fails the test if it has not done what it is about."""
        missing = self._wanted - {kind for kind, count in self.counts.items() if count > 0}
        assert not missing, f"these faults did not fire: {', '.join(sorted(missing))}"
        assert self.counts.total() > 0, "no fault fired"


def chosen_seed() -> int:
    """The seed that was asked for, or a new one."""
    asked = os.environ.get(SEED_NAME)
    return int(asked) if asked else random.SystemRandom().randrange(1 << 32)
