"""What rounding to integers does to a network: found, watched, and limited."""
