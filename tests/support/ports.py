"""Ports for programs that a test starts, and may kill and start again."""

import functools
import itertools
import os
import random
import socket
from collections.abc import Iterator

FIRST_PORT = 12_000
PORTS_EACH = 1000
PROCESSES_MAX = 20


def free_port() -> int:
    """A port that nobody listens on now, and that nobody comes upon by chance.

    It is below those that a kernel usually gives to outgoing connections (ip(7), ip_local_port_range). One of these
    may be somebody else's connection when the program listens, or when it comes back after a kill; and who knocks
    there meanwhile may be connected to himself.
    """
    for port in itertools.islice(_ports(), PORTS_EACH):
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise AssertionError(f"{PORTS_EACH} ports are all taken")


@functools.cache
def _ports() -> Iterator[int]:
    """Those of this process of the tests, in turn: each again as late as possible, none that another one chooses."""
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES_MAX
    first, begin = FIRST_PORT + number * PORTS_EACH, random.SystemRandom().randrange(PORTS_EACH)
    return itertools.cycle(first + (begin + turn) % PORTS_EACH for turn in range(PORTS_EACH))
