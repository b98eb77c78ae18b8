"""Networks that tables of measurements name: of other sizes, or by a seed."""

from __future__ import annotations

import numpy as np

from tf_cosearch import configuration
from tf_cosearch.networks.network import Network
from tf_cosearch.networks.spaces.template import Template, load_network


def draw(name: str, input_px: int, seed: int | None = None) -> Network:
    """A shipped network of another image size, or a random one of a space.

    Args:
        name: Of a network or, with a seed, of a space.
        input_px: Rows and columns of the image.
        seed: Of the choices; ten classes then.

    Returns:
        The `Network`.

    Example:
    >>> [layer.out_h for layer in draw("mobilenet_v1", 96).layers()][:3]
    [48, 48, 48]
    """
    if seed is None:
        config = load_network(name).get_config()
        channels = config["input_shape"][-1]
        config["input_shape"] = [input_px, input_px, channels]
        return Network.from_config(config)
    content = configuration.load("spaces", name)
    content.pop("accelerator", None)
    shape = (input_px, input_px, content["input_shape"][-1])
    space = Template(content, name, shape, 10)
    counts = [len(parameter.choices) for parameter in space.parameters]
    genes = np.random.default_rng(seed).integers(0, counts)
    return space.decode(space.canonical(tuple(genes.tolist())))
