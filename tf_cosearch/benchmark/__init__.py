"""Compares search algorithms, and measures the cost model; trains nothing."""
