"""EfficientNet-Lite0 with random weights, written as the scenario writes the real one."""

from __future__ import annotations

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skerry.sim.scenarios.lite0 import BLOCKS, write_lite0


def random_tensors(seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """The state dict's names and shapes, with weights that keep values near 1 through all layers."""
    random = np.random.default_rng(seed)
    tensors: dict[str, NDArray[np.float32]] = {}

    def conv(name: str, out: int, into: int, kernel: int) -> None:
        deviation = np.sqrt(2 / (into * kernel * kernel))
        tensors[f"{name}.weight"] = random.normal(0, deviation, (out, into, kernel, kernel)).astype(
            np.float32
        )

    def norm(name: str, channels: int) -> None:
        for part, low, high in (("weight", 0.8, 1.2), ("bias", -0.2, 0.2), ("running_mean", -0.2, 0.2),
                                ("running_var", 0.5, 1.5)):  # fmt: skip
            tensors[f"{name}.{part}"] = random.uniform(low, high, channels).astype(np.float32)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    number = 0
    for repeats, kernel, _, expansion, into, out in BLOCKS:
        for repeat in range(repeats):
            source = into if repeat == 0 else out
            name, wide = f"_blocks.{number}.", source * expansion
            if expansion != 1:
                conv(f"{name}_expand_conv", wide, source, 1)
                norm(f"{name}_bn0", wide)
            conv(f"{name}_depthwise_conv", wide, 1, kernel)
            norm(f"{name}_bn1", wide)
            conv(f"{name}_project_conv", out, wide, 1)
            norm(f"{name}_bn2", out)
            number += 1
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    tensors["_fc.weight"] = random.normal(0, 0.02, (1000, 1280)).astype(np.float32)
    tensors["_fc.bias"] = random.normal(0, 0.02, 1000).astype(np.float32)
    return tensors


def write_random_lite0(path: Path) -> None:
    """A genuine ``.keras`` file of the architecture."""
    write_lite0(torch_file(random_tensors()), path)


def torch_file(tensors: dict[str, NDArray[Any]]) -> bytes:
    """The tensors in torch's legacy format, convolutions as strided views (as in the published file)."""
    buffer = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, buffer, 2)
    buffer.write(_state_dict(tensors))
    pickle.dump([str(i) for i in range(len(tensors))], buffer, 2)
    for array in tensors.values():
        buffer.write(struct.pack("<q", array.size) + _stored(array).tobytes())
    return buffer.getvalue()


def _stored(array: NDArray[Any]) -> NDArray[Any]:
    """Convolutions lie channels-last in memory, which makes the tensor a view with odd strides."""
    return np.ascontiguousarray(np.moveaxis(array, 1, -1) if array.ndim == 4 else array, "<f4")


def _strides(array: NDArray[Any]) -> tuple[int, ...]:
    stored = _stored(array)
    view = np.moveaxis(stored, -1, 1) if array.ndim == 4 else stored
    return tuple(step // 4 for step in view.strides)


def _state_dict(tensors: dict[str, NDArray[Any]]) -> bytes:
    """The pickle opcodes that torch writes; pickle itself cannot, for torch is not installed."""
    empty = b"ccollections\nOrderedDict\n)R"
    items = b""
    for i, (name, array) in enumerate(tensors.items()):
        storage = _text("storage") + b"ctorch\nFloatStorage\n" + _text(str(i)) + _text("cpu")
        arguments = _tuple(storage + _number(array.size)) + b"Q" + _number(0)
        arguments += _tuple(b"".join(map(_number, array.shape)))
        arguments += _tuple(b"".join(map(_number, _strides(array)))) + b"\x89" + empty
        items += _text(name) + b"ctorch._utils\n_rebuild_tensor_v2\n" + _tuple(arguments) + b"R"
    return b"\x80\x02" + empty + b"(" + items + b"u."


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _tuple(content: bytes) -> bytes:
    return b"(" + content + b"t"
