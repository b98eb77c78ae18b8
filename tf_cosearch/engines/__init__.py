"""Who runs the trials: this process, or a chief's workers; and loses none.

The chief and its workers are KerasTuner's way, with its environment variables
and its gRPC service; what is added is that any of them may die at any time.
"""
