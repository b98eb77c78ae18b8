"""The operations that blocks are made of, one file each, found by scan.

An operation is a class

    @operation
    class MyOperation(Operation):
        setting: int = 1

        def keras(self, build, x, name): ...
        def rows(self, record, x, name): ...

which blocks call as `ops.my_operation(x, setting=2, name="mine")`. `keras`
builds layers of `build.keras`, which `build.path(name)` names, and `rows` makes
the rows that `from_keras` would make of them. Other packages register theirs by
the same decorator.

Why classes: settings are told once for all readings, they compare by value (so
that a space sees which choices differ where no row does, as of the kind of a
pooling), and a reading that is added is a method beside the others.

Why layers that Keras brings: a file that names anything else cannot be read
without running code. Splitting and shuffling channels is made of them.
"""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
