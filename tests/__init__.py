"""The tests: on real processes, sockets and databases."""
