"""The network of a user's own model, as the folder of a design states it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tf_cosearch import configuration
from tf_cosearch.networks.importers import keras_files
from tf_cosearch.networks.importers.keras_import import from_keras
from tf_cosearch.networks.workload import Layer


class SavedNetwork:
    """A network without the `build(hp)` that made it.

    It can be priced. To be trained on it takes the user's hypermodel, which a
    design does not hold, as no file of it runs code.

    Args:
        config: What `get_config` of the network returned.

    Attributes:
        name: What the space was called.
        values: The chosen value of each hyperparameter.

    Raises:
        ValueError: If it describes no network.
        TypeError, KeyError: The same.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        fields = ("name", "hyperparameters", "model")
        configuration.check_keys(config, "the network", fields)
        self.name = str(config["name"])
        self.values = dict(config["hyperparameters"])
        self._config = dict(config)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of what goes into it, without the batch."""
        return tuple(self.outline().inputs[0].shape)[1:]

    @property
    def classes(self) -> int:
        """Numbers that it puts out."""
        return int(self.outline().outputs[0].shape[-1])

    def build(self, keras: Any = None) -> Any:
        """Refuses, with what to do."""
        raise ValueError(
            "A user's own model must be built by their `build(hp)`. Received: "
            f"a design of {self.name}, which holds weights and values but no "
            "code. Call build with its hyperparameters and load its "
            "float.weights.h5, or take `get_best_models` of the tuner."
        )

    def layers(self) -> list[Layer]:
        """The rows of its layer table, in execution order.

        Raises:
            ValueError: If it consists of more than layers of Keras.
        """
        return from_keras(self.outline(), on_unknown=lambda kind: None)

    def get_config(self) -> dict[str, Any]:
        """The values and the architecture, as plain values for JSON."""
        return self._config

    def outline(self, with_weights: bool = False) -> Any:
        """The architecture as a Keras model, whose values are not trained.

        Args:
            with_weights: Whether its weights have values at all.

        Raises:
            ValueError: If it consists of more than layers of Keras.
        """
        if self._config["model"] is None:
            raise ValueError(
                "A design must state the architecture of its network to be "
                f"priced. Received: one of {self.name}, a layer of which has "
                "no `get_config`. Write one and search again, or price "
                "`from_keras(build(hp))`."
            )
        return keras_files.from_config(
            self._config["model"], self.name, with_weights=with_weights
        )
