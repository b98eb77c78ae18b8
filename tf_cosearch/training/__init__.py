"""Trains a network, quantizes it, and measures the int8 file."""
