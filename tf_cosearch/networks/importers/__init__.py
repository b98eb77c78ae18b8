"""Reads networks of model files and tables, and runs nothing of them."""
