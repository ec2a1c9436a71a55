"""Journeys: whole programs as real processes, over real sockets, files and databases, with real faults."""
