"""What keyword spotting hears: clips of a folder, and features of them."""
