"""Searches a network and the edge accelerator it runs on, together.

`__init__.pyi` lists the names. Each is imported when it is first used, since
TensorFlow takes seconds: the flags of a command are answered before.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
