"""The website: pages for people over the shared commands and queries. It has no rules of its own."""
