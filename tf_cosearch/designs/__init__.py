"""The chosen design on disk, and reports on how it was found."""
