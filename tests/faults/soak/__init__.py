"""Half an hour of mixed runs under faults of every kind on a whole installation, and what it costs in memory."""
