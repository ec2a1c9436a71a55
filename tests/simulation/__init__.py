"""The simulator: the production coroutines on a seeded loop with virtual time, and faults between any two steps."""
