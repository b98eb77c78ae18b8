"""Trains a network, quantizes it, and measures the int8 file.

That of a template as the tuner is told, a user's own as it was compiled.
"""
