"""The service: the HTTP API over the shared commands and queries. It never talks to workers."""
