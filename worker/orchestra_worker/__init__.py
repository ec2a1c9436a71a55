"""The worker: one machine, which executes runs and keeps their status, log and results until the master has them."""
