"""Searches a network and the edge accelerator it runs on, together."""

__version__ = "0.1.0"
