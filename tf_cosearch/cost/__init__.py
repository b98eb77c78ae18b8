"""What a network costs on an accelerator: the cost model, a file a question.

`explain` says why, `calibrate` fits it to measured devices.
"""
