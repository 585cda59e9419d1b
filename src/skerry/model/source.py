"""The way from what the user has to a network: as data where it is data, else by real Keras."""

from __future__ import annotations

from collections.abc import Callable

from skerry.errors import InvalidInput, Unsupported
from skerry.model import keras_runtime
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.litert_file import read_litert
from skerry.model.network import ForeignLayer, Network
from skerry.model.onnx_file import read_onnx
from skerry.model.origin import Origin
from skerry.model.traced import traced_network

SAVED_MODEL = "saved_model.pb"


def open_network(origin: Origin, progress: Callable[[str], None]) -> Network:
    """The network of the model at ``origin``, every layer of it known.

    Keras files are read as data. SavedModels, weights with an architecture function, and layers outside
    our table go through real Keras in a process of its own; code of the user's or the file's runs only
    where ``origin`` allows it. Unsupported names what has no way.
    """
    path = origin.model
    if path.is_dir():
        if not (path / SAVED_MODEL).is_file():
            raise InvalidInput(
                f"{path} is a folder, and no SavedModel",
                hint="name the .keras or .h5 file, or a folder with saved_model.pb",
                path=str(path),
            )
        return _traced(origin, "it is a SavedModel", progress)
    if origin.architecture is not None:
        return _traced(origin, f"its architecture is {origin.architecture}", progress)
    if path.suffix == ".tflite":
        return read_litert(path, origin.size, origin.head)
    if path.suffix == ".onnx":
        return read_onnx(path, origin.size, origin.head)
    try:
        network = read_network(path, origin.size, weights=origin.weights, head=origin.head)
        convert(network)
    except Unsupported as exc:
        # Somebody's code needs to be allowed; Keras' own layers need only Keras.
        if isinstance(exc, ForeignLayer) and not origin.runs_code:
            raise
        if not keras_runtime.is_installed():
            raise
        try:
            return _traced(origin, exc.what, progress)
        except Unsupported as deeper:
            raise Unsupported(f"{exc.what}; by way of Keras: {deeper.what}", hint=exc.hint) from deeper
        except InvalidInput as failed:
            raise exc from failed
    return network


def _traced(origin: Origin, why: str, progress: Callable[[str], None]) -> Network:
    progress(f"reading {origin.model.name} through real Keras: {why}")
    return traced_network(origin)
