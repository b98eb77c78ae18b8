from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu
from tf_cosearch.testing import ComponentSuite

for _name in EdgeTpu._fields:
    _class = f"Test{_name.title().replace('_', '')}"
    globals()[_class] = type(_class, (ComponentSuite,), {"name": _name})
