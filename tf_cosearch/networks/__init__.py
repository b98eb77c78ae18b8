"""Networks, and what they ask of an accelerator: a table, a row a layer.

- `operations` are what `blocks` are made of, `blocks` what networks are.
- `spaces` say which networks there are to choose from: those of a template in
  YAML, or those that a user's own `build(hp)` makes.
- `importers` read networks of model files and tables.
"""

# Registers them, whoever needs one first.
from tf_cosearch.networks import blocks as blocks
from tf_cosearch.networks import operations as operations
