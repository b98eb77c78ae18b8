"""One training for all networks of a space, which share their weights."""
