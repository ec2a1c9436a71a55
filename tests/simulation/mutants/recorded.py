"""Where each planted defect has shown itself when it was last searched for: the test looks there first."""

SEEDS: dict[str, tuple[int, ...]] = {
    "accept-before-journal": (6,),
    "accepted-offer-withdrawn": (41,),
    "acknowledge-before-commit": (32,),
    "any-log-will-do": (1,),
    "append-without-offset": (34,),
    "claim-ignored-at-readoption": (2,),
    "claim-without-compare-and-set": (12,),
    "double-go": (41,),
    "end-told-before-the-log-is-drained": (0,),
    "events-sent-before-they-are-journalled": (62,),
    "forget-before-the-end-is-committed": (25,),
    "go-before-a-slot-is-free": (2,),
    "go-is-said-once": (4,),
    "idempotency-key-ignored": (0,),
    "lease-not-enforced": (112,),
    "log-trim-off-by-one": (1,),
    "lost-declared-by-the-wall-clock": (311,),
    "lost-wakeup": (2,),
    "no-fencing-by-attempt": (51,),
    "no-fencing-by-epoch": (108,),
    "no-terminal-guard": (65,),
    "recalled-after-go": (22,),
    "recalled-without-a-fence": (108,),
    "retry-counted-twice": (0,),
    "spawn-at-offer": (4,),
    "spawn-before-journal": (34,),
    "stale-hello-believed": (14,),
    "stop-between-accept-and-go-dropped": (6,),
    "stop-races-with-go": (13,),
    "tick-without-compare-and-set": (9,),
    "what-waits-after-a-hello-is-never-told": (34,),
}

NOT_FOUND_YET: dict[str, str] = {}
"""How far each of the others was searched, and why it is rare: a hole in the proof until it moves to the list above."""
