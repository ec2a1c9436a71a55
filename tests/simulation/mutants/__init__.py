"""Planted defects: each replaces one function of the product while a world lives, and the oracle must find it."""
