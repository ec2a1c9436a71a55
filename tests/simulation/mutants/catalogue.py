"""All planted defects by name."""

from tests.simulation.mutants.of_deciding import deciding
from tests.simulation.mutants.of_pipelines import pipelining
from tests.simulation.mutants.of_policies import limiting
from tests.simulation.mutants.of_recording import recording
from tests.simulation.mutants.of_schedules import scheduling
from tests.simulation.mutants.of_waiting import waiting
from tests.simulation.mutants.of_working import working

_LISTS = (recording, deciding, scheduling, pipelining, limiting, waiting, working)
MUTANTS = {mutant.name: mutant for mutants in _LISTS for mutant in mutants.all}
