"""The conversation between master and worker, without any input or output of its own."""
