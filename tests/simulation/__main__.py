"""`python -m tests.simulation SEEDS [--first N]`: runs so many seeds on all processors and says what they showed."""

import sys

from tests.simulation.runner import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
