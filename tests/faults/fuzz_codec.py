"""Bytes of any kind against both ends of the protocol, led by coverage.

`python -m tests.faults.fuzz_codec -atheris_runs=N [folder of examples]` ends with a status that is not zero, and the
bytes, at the first error that is not a ProtocolError.
"""

import random
import sys

import atheris

with atheris.instrument_imports(include=["orchestra"]):
    from tests.faults.mangled import FROM_MASTER, FROM_WORKER, Mangler
    from tests.faults.session_check import check_master_session, check_worker_session


def look(content: bytes) -> None:
    """The bytes as a frame of text, as a binary one, and as the seed of frames that are nearly right."""
    text = content.decode(errors="replace")  # a socket gives no text that is none
    chance = random.Random(content)
    check_master_session([content, text, Mangler(chance, FROM_WORKER).frame()])
    check_worker_session([text, content, Mangler(chance, FROM_MASTER).frame()])


if __name__ == "__main__":
    atheris.Setup(sys.argv, look)
    atheris.Fuzz()
