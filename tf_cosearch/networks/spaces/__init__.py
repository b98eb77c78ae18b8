"""Spaces of networks: what may be chosen, and what a choice stands for."""
