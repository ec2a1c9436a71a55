"""Logs as bytes: their digest, and the folder that keeps them."""
