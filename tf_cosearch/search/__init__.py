"""What is searched, what counts as better, and who proposes.

`algorithms` suggest designs, a file each; `oracle` asks one of them, and is
what KerasTuner knows.
"""
