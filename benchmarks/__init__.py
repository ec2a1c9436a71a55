"""Speed and memory, always as ratios to a floor that is measured in the same run; never part of the tests."""
