"""Where each planted defect has shown itself when it was last searched for: the test looks there first."""

SEEDS: dict[str, tuple[int, ...]] = {
    "accept-before-journal": (29,),
    "accepted-offer-withdrawn": (6,),
    "acknowledge-before-commit": (19,),
    "any-log-will-do": (1,),
    "append-without-offset": (3,),
    "claim-ignored-at-readoption": (17,),
    "claim-without-compare-and-set": (41,),
    "end-told-before-the-log-is-drained": (0,),
    "events-sent-before-they-are-journalled": (45,),
    "forget-before-the-end-is-committed": (1,),
    "go-is-said-once": (1,),
    "idempotency-key-ignored": (0,),
    "log-trim-off-by-one": (3,),
    "lost-declared-by-the-wall-clock": (77,),
    "lost-wakeup": (0,),
    "no-fencing-by-attempt": (11,),
    "retry-counted-twice": (0,),
    "spawn-at-offer": (1,),
    "spawn-before-journal": (45,),
    "stale-hello-believed": (1,),
    "stop-races-with-go": (25,),
    "tick-without-compare-and-set": (9,),
}

NOT_FOUND_YET = {
    "double-go": "not in 200 seeds: the link must break in the milliseconds between a go and its journal",
    "lease-not-enforced": "not in 500 seeds: hardly a worker is cut off for longer than lease, grace and margin",
    "no-fencing-by-epoch": "not in 20 seeds: the attempt's number and its event numbers fence the same words",
    "no-terminal-guard": "not in 300 seeds: a lost attempt has to come back and end, before anybody tells it to go",
    "stop-between-accept-and-go-dropped": "not searched: a stop must come while a go is lost",
}
"""How far each of the others was searched, and why it is rare: a hole in the proof until it moves to the list above."""
