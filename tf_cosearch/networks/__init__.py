"""The software side of the search: blocks, networks, their layer tables."""
