"""Compares search algorithms, ours and others', without training anything."""
