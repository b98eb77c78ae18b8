"""Choices of accelerators, whatever parameters come to be searched."""

from tf_cosearch import accelerators
from tf_cosearch.accelerators.families.edge_tpu import EdgeTpu


def only(choices):
    """These choices; every other searched parameter is its default."""
    known = accelerators.parameters()
    defaults = {
        path: default
        for path, default in accelerators.to_paths(EdgeTpu()).items()
        if known[path].choices
    }
    return defaults | choices
