from tf_cosearch import accelerators
from tf_cosearch.accelerators import families
from tf_cosearch.testing import ComponentSuite

for _family in families.names():
    for _name in accelerators.default(_family)._asdict():
        _class = f"Test_{_family}_{_name}".title().replace("_", "")
        _settings = {"name": _name, "family": _family}
        globals()[_class] = type(_class, (ComponentSuite,), _settings)
