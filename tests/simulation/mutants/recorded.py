"""Where each planted defect has shown itself when it was last searched for: the test looks there first."""

SEEDS: dict[str, tuple[int, ...]] = {
    "accepted-offer-withdrawn": (74,),
    "acknowledge-before-commit": (0,),
    "any-log-will-do": (1,),
    "append-without-offset": (3,),
    "claim-ignored-at-readoption": (2,),
    "claim-without-compare-and-set": (67,),
    "forget-before-the-end-is-committed": (0,),
    "idempotency-key-ignored": (0,),
    "lost-wakeup": (0,),
    "no-fencing-by-attempt": (14,),
    "retry-counted-twice": (0,),
    "spawn-at-offer": (8,),
    "tick-without-compare-and-set": (9,),
}

NOT_FOUND_YET = frozenset(
    {
        "accept-before-journal",
        "double-go",
        "end-told-before-the-log-is-drained",
        "events-sent-before-they-are-journalled",
        "go-is-said-once",
        "lease-not-enforced",
        "log-trim-off-by-one",
        "lost-declared-by-the-wall-clock",
        "no-fencing-by-epoch",
        "no-terminal-guard",
        "spawn-before-journal",
        "stale-hello-believed",
        "stop-between-accept-and-go-dropped",
        "stop-races-with-go",
    }
)
"""What no search was long enough for: each is a hole in the proof until it moves to the list above."""
