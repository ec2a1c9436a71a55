"""Where each planted defect shows itself, as it was last searched: the test looks there first."""

SEEDS: dict[str, tuple[int, ...]] = {}
