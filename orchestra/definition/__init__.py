"""Definitions: what a project consists of, read from a file or said in Python, checked in one way."""
