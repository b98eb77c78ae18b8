from tf_cosearch.accelerators import Accelerator
from tf_cosearch.testing import ComponentSuite

for _name in Accelerator._fields:
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (ComponentSuite,), {"name": _name})
