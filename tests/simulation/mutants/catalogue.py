"""All planted defects by name."""

from tests.simulation.mutants.of_deciding import deciding
from tests.simulation.mutants.of_recording import recording
from tests.simulation.mutants.of_waiting import waiting
from tests.simulation.mutants.of_working import working

MUTANTS = {mutant.name: mutant for mutants in (recording, deciding, waiting, working) for mutant in mutants.all}
