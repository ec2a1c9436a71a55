"""The conversation without any I/O."""
