"""Speed and memory, always beside a floor that is measured in the same run; never part of the tests."""
