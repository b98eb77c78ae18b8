"""What is searched, what counts as better, and who proposes.

`algorithms` suggest designs, a file each; `oracle` asks one of them, and is
what KerasTuner knows.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ["algorithms"])
