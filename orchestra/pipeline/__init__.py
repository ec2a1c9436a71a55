"""Pipelines as pure decisions: which element runs next, with what, and what becomes of the whole."""
