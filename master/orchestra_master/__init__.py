"""The master: owns what is defined and the life of runs, and decides which worker gets which run."""
