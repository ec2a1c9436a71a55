"""Tests of the words and the shared machinery."""
