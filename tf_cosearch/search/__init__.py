"""What is searched, what counts as better, and who proposes."""
