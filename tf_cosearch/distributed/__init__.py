"""One search on many processes: a chief that proposes, workers that train.

KerasTuner's way of doing it, with its environment variables and its gRPC
service; what is added is that any of the processes may die at any time.
"""
