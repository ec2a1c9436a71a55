"""Real faults on real processes: what jobs wrote down outside of the product is compared with what the product says."""
