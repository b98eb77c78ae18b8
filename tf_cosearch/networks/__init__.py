"""The software side of the search: blocks, networks, their layer tables."""

# Registers them, whoever needs one first.
from tf_cosearch.networks import operations as operations
