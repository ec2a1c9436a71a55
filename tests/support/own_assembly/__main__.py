"""`python -m tests.support.own_assembly DATA PORT`: the own master and service as one process."""

import asyncio
import sys
from pathlib import Path

from tests.support.own_assembly.assemble import run_own

asyncio.run(run_own(Path(sys.argv[1]), int(sys.argv[2])))
