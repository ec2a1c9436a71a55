"""Tests of the databases, the tables and the statements."""
