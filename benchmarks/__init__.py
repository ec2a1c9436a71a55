"""How fast it is, beside floors that are measured in the same run; figures, never tests."""
