"""A network by way of real Keras: for what is not in our table, or is no data at all."""

from __future__ import annotations

from skerry.model.keras_runtime import trace
from skerry.model.network import Network
from skerry.model.origin import Origin
from skerry.model.tensorflow_graph import network_from_graph


def traced_network(origin: Origin, python: str | None = None) -> Network:
    """The network that TensorFlow sees when the model predicts, with training off.

    Unavailable without Keras, InvalidInput when Keras cannot load the model, Unsupported naming the
    operation without a rule.
    """
    graph = trace(origin, python)
    return network_from_graph(
        graph.document, graph.constants, name=origin.model.stem, version=graph.version, head=origin.head
    )
