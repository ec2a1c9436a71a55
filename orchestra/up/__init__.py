"""Everything on one machine with one command: the composition of the parts, and the only place that names them all."""
