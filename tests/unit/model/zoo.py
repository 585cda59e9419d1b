"""Models made by real Keras, with what real Keras predicts: the other side of every layer test.

Run as a program (a folder to write to, then further ``.keras`` files): TensorFlow stays out of the test
process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.model.zoo_rows import LAYERS, REFUSED, SHAPE, Spec

Make = Callable[[], Any]


def structures(keras: Any) -> dict[str, Make]:
    """Models whose point is how they are wired; names are known without Keras."""

    def named(name: str) -> Any:
        return getattr(keras.layers, name)

    def image() -> Any:
        return keras.Input(SHAPE, name="image")

    def small(name: str = "base") -> Any:
        x = keras.Input((None, None, 3), name="inner_image")
        y = named("Conv2D")(4, 3, padding="same", name="conv")(x)
        return keras.Model(x, named("BatchNormalization")(name="norm")(y), name=name)

    def merging(kind: str) -> Make:
        def make() -> Any:
            x = image()
            parts = [named("Conv2D")(3, 3, padding="same")(x) for _ in range(2)]
            return keras.Model(
                x, named("Flatten")()(named(kind)()([x, *parts][-2 if kind == "Subtract" else 0 :]))
            )

        return make

    def gate() -> Any:
        x = image()
        g = named("GlobalAveragePooling2D")()(x)
        g = named("Reshape")((1, 1, 3))(g)
        g = named("Conv2D")(3, 1, activation="sigmoid")(g)
        return keras.Model(x, named("Flatten")()(named("Multiply")()([x, g])))

    def joined() -> Any:
        x = image()
        rows = named("Concatenate")(axis=1)([x, named("ZeroPadding2D")(((1, 0), (0, 0)))(x)])
        deep = named("Concatenate")()([rows, rows])
        return keras.Model(x, named("Flatten")()(deep))

    def nested() -> Any:
        x = image()
        head = keras.Sequential([keras.Input((4,)), named("Dense")(5, activation="relu"), named("Dense")(2)])
        return keras.Model(x, head(named("GlobalMaxPooling2D")()(small()(x))))

    def model_at_the_end() -> Any:
        x = image()
        source = keras.Input((4,), name="features")
        head = keras.Model(source, named("Dense")(2, activation="softmax")(source), name="head")
        return keras.Model(x, head(named("GlobalAveragePooling2D")()(small()(x))))

    def twins() -> Any:
        x = image()
        both = named("Add")()([small("left")(x), small("right")(x)])
        return keras.Model(x, named("Flatten")()(both))

    def shared() -> Any:
        x = image()
        base, conv = small(), named("Conv2D")(3, 3, padding="same", name="again")
        y = named("Concatenate")()([base(x), base(conv(conv(x)))])
        return keras.Model(x, named("GlobalAveragePooling2D")()(y))

    def sequential() -> Any:
        return keras.Sequential(
            [image(), named("Rescaling")(1 / 255), named("Conv2D")(4, 3), small_flat(), named("Dense")(2)]
        )

    def small_flat() -> Any:
        return keras.Sequential([named("MaxPooling2D")(), named("Flatten")()], name="inner")

    def unnamed_input() -> Any:
        model = keras.Sequential([named("Conv2D")(4, 3), named("Flatten")()])
        model.build((None, *SHAPE))
        return model

    def several_outputs() -> Any:
        x, y = image(), keras.Input(SHAPE, name="inner_image")
        first = named("Conv2D")(4, 3)(y)
        trunk = keras.Model(y, [first, named("Conv2D")(2, 3)(first)], name="trunk")
        means = [named("GlobalAveragePooling2D")()(part) for part in trunk(x)]
        return keras.Model(x, named("Concatenate")()(means[::-1]))

    def operations() -> Any:
        x = image()
        y = (2.0 - x / 127.5) * 3.0 + x
        y = keras.ops.gelu(y - 1.0, approximate=True)
        return keras.Model(x, named("Flatten")()(y))

    def two_heads() -> Any:
        x = image()
        features = named("GlobalAveragePooling2D")()(named("Conv2D")(4, 3)(x))
        small, large = named("Dense")(2, name="small"), named("Dense")(5, name="large")
        return keras.Model(x, {"kind": small(features), "grade": large(features)})

    def mixed_float16() -> Any:
        x, mixed = image(), {"dtype": "mixed_float16"}
        y = named("BatchNormalization")(**mixed)(named("Conv2D")(6, 3, **mixed)(named("Rescaling")(0.5)(x)))
        y = keras.Sequential([named("ReLU")(**mixed), named("GlobalAveragePooling2D")(**mixed)])(y)
        return keras.Model(x, named("Dense")(4, activation="softmax", dtype="float32")(y))

    def dots() -> Any:
        x, layers = image(), keras.layers
        grid = layers.Reshape((13, 30))(x)
        other = layers.Reshape((30, 13))(layers.Flatten()(x))
        a, b = (layers.Dense(5)(layers.Flatten()(x)) for _ in range(2))
        parts = [
            layers.Dot(axes=1)([a, b]),
            layers.Dot(axes=1, normalize=True)([a, b]),
            layers.Dot(axes=(2, 1))([grid, other]),
            layers.Dot(axes=1)([grid, other[:, :13]]),
            layers.Dot(axes=-1, normalize=True)([grid, grid]),
            layers.Dot(axes=(2, 1))([grid, layers.Flatten()(other)[:, :30]]),
        ]
        return keras.Model(x, layers.Concatenate()([layers.Flatten()(part) for part in parts]))

    def three_outputs() -> Any:
        x = image()
        features = named("GlobalAveragePooling2D")()(named("Conv2D")(6, 3, activation="relu")(x))
        kind = named("Dense")(3, activation="softmax", name="kind")(features)
        tags = named("Dense")(4, activation="sigmoid", name="tags")(features)
        age = named("Rescaling")(40.0, 30.0, name="age")(named("Dense")(1)(features))
        return keras.Model(x, [kind, tags, age])

    def functions() -> Any:
        x, ops = image(), keras.ops
        y = ops.stack([x[..., 2], x[..., 1], x[..., 0]], axis=-1) + np.ones((1, 1, 1, 3), "float32")
        y = ops.minimum(ops.maximum(y[:, 1:, ::-2], -3.0), np.array([1, 2, 3], np.float32))
        y = ops.concatenate([ops.relu(y), ops.relu6(y), ops.silu(y), ops.sigmoid(y), ops.tanh(y)], axis=-1)
        y = ops.hard_sigmoid(y) * ops.hard_silu(y) + ops.clip(y, -0.5, 0.5) - (-y)
        spread = ops.sqrt(ops.square(y) + 1.0) + ops.exp(-ops.abs(y)) + ops.log(ops.square(y) + 1.0)
        spread = spread * ops.rsqrt(ops.square(y) + 0.5) + ops.erf(y) + ops.power(ops.abs(y) + 1.0, 0.3)
        spread = ops.softmax(spread, axis=-1)
        parts = [ops.mean(spread, axis=(1, 2)), ops.max(y, axis=[1, 2]), ops.sum(y, axis=[-3, -2])]
        parts.append(ops.reshape(ops.min(y, axis=1, keepdims=True), (-1, 5 * 15)))
        parts.append(ops.reshape(ops.transpose(ops.mean(y, axis=3), (0, 2, 1)), (-1, 12 * 5)))
        return keras.Model(x, ops.concatenate(parts, axis=1))

    def application_layers() -> Any:
        from keras.src.applications.convnext import LayerScale, StochasticDepth
        from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

        x = image()
        y = CustomScaleLayer(0.2)([x, StochasticDepth(0.5)(LayerScale(0.5, 3)(x))])
        return keras.Model(x, named("Flatten")()(y))

    def adapted() -> Any:
        x = image()
        layer = named("Normalization")()
        layer.build((None, *SHAPE))
        return keras.Model(x, named("Flatten")()(layer(x)))

    merges = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    return {
        **{f"merge_{kind}": merging(kind) for kind in merges},
        **{make.__name__: make for make in (gate, joined, nested, model_at_the_end, twins, shared, sequential,
                                            unnamed_input, several_outputs, operations, two_heads, functions,
                                            three_outputs, mixed_float16, dots, application_layers, adapted)},
        "mobilenet_v2": lambda: keras.applications.MobileNetV2(
            weights=None, input_shape=(96, 96, 3), alpha=0.35, classes=7
        ),
        "resnet50": lambda: keras.applications.ResNet50(
            weights=None, input_shape=(64, 64, 3), classes=7, classifier_activation=None
        ),
        "transfer": lambda: transfer(keras),
    }  # fmt: skip


def transfer(keras: Any) -> Any:
    """The usual transfer learning: augmentation, a frozen base inside, a new head."""
    layers = keras.layers
    base = keras.applications.MobileNetV2(
        weights=None, include_top=False, input_shape=(64, 64, 3), alpha=0.35
    )
    x = keras.Input((64, 64, 3), name="photo")
    y = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1)], name="augment")(x)
    y = base(layers.Rescaling(1 / 127.5, -1)(y), training=False)
    y = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(y))
    return keras.Model(x, layers.Dense(3, activation="softmax")(y))


def refused_structures(keras: Any) -> dict[str, Make]:
    """Models that must be refused; the key is in the message."""

    def two_inputs() -> Any:
        xs = [keras.Input(SHAPE), keras.Input(SHAPE)]
        return keras.Model(xs, keras.layers.Flatten()(keras.layers.Add()(xs)))

    def half() -> Any:
        x = keras.Input(SHAPE)
        return keras.Model(x, keras.layers.Flatten()(keras.layers.Conv2D(2, 3, dtype="float16")(x)))

    def image_output() -> Any:
        x = keras.Input(SHAPE)
        return keras.Model(x, keras.layers.Conv2D(2, 3)(x))

    def code() -> Any:
        x = keras.Input(SHAPE)
        return keras.Model(x, keras.layers.Flatten()(keras.layers.Lambda(lambda v: v * 2)(x)))

    def foreign() -> Any:
        scale = type("Scale", (keras.layers.Layer,), {"call": lambda self, v: v * 2})
        x = keras.Input(SHAPE)
        return keras.Model(x, keras.layers.Flatten()(scale()(x)))

    def open_size() -> Any:
        x = keras.Input((None, None, 3))
        return keras.Model(x, keras.layers.GlobalAveragePooling2D()(x))

    def no_images() -> Any:
        x = keras.Input((20,))
        return keras.Model(x, keras.layers.Dense(2)(x))

    return {
        "images are": no_images,
        "2 inputs": two_inputs,
        "computes in float16": half,
        "not one number per class": image_output,
        "Lambda": code,
        "Scale": foreign,
        "open size": open_size,
    }


def in_float32(keras: Any, model: Any) -> Any:
    """The same layers and weights, made anew to compute in float32."""

    def clone(layer: Any) -> Any:
        if isinstance(layer, keras.Model):
            return in_float32(keras, layer)
        return layer.__class__.from_config({**layer.get_config(), "dtype": "float32"})

    twin = keras.models.clone_model(model, clone_function=clone)
    twin.set_weights(model.get_weights())
    return twin


def row(keras: Any, specs: list[Spec]) -> Any:
    """Layers in a row, flattened at the end so that every value is compared."""
    x = image = keras.Input(SHAPE, name="image")
    for kind, options in specs:
        x = getattr(keras.layers, kind)(**options)(x)
    if len(x.shape) != 2:
        x = keras.layers.Flatten(name="flat")(x)
    return keras.Model(image, x)


def main(folder: Path, others: list[str]) -> None:
    import keras
    import tensorflow as tf

    random = np.random.default_rng(7)

    def save(name: str, model: Any) -> None:
        for variable in model.weights:
            if "seed" not in variable.path and variable.shape:
                variable.assign(weight(variable))
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()  # Normalization computes with copies of its weights.
        model.save(folder / f"{name}.keras")

    def weight(variable: Any) -> Any:
        shape = tuple(variable.shape)
        if len(shape) > 1:  # Kernels keep the variance; a depthwise one sees one channel.
            fan = np.prod(shape[:2] if shape[-1] <= 2 < shape[-2] else shape[:-1])
            return random.normal(0, np.sqrt(2 / fan), shape)
        middle = 1.0 if any(part in variable.path for part in ("gamma", "variance")) else 0.0
        return middle + random.uniform(-0.5, 0.5, shape)

    def predict(name: str, model: Any) -> None:
        shape = tuple(side or 32 for side in model.input_shape[1:])
        low, high = (-4, 4) if shape == SHAPE else (0, 255)
        x = random.uniform(low, high, (3, *shape)).astype(np.float32)
        made = model(x, training=False)
        parts = made.values() if isinstance(made, dict) else made if isinstance(made, list) else [made]
        first, *others = parts
        beside: dict[str, Any] = {f"y{i}": np.asarray(other) for i, other in enumerate(others, 1)}
        np.savez(folder / f"{name}.npz", x=x, y=np.asarray(first), **beside)

    for name, specs in LAYERS.items():
        model = row(keras, specs)
        save(name, model)
        predict(name, model)
    for name, make in structures(keras).items():
        model = make()
        save(name, model)
        predict(name, in_float32(keras, model) if name == "mixed_float16" else model)
    for name, specs in REFUSED.items():
        save(f"refused {name}", row(keras, specs))
    for name, make in refused_structures(keras).items():
        save(f"refused {name}", make())
    resize = keras.ops.image.resize
    pixels = random.integers(0, 256, (1, 61, 83, 3)).astype(np.float32)
    resized = {
        f"{method} {antialias} {size}": resize(pixels, size, interpolation=method, antialias=antialias)
        for method in ("nearest", "bilinear", "bicubic", "lanczos3")
        for antialias in (False, True)
        for size in ((32, 40), (96, 97), (7, 120))
    }
    padded = {f"pad {size}": tf.image.resize_with_pad(pixels, *size) for size in ((32, 40), (96, 97))}
    made = {name: np.asarray(image)[0] for name, image in (resized | padded).items()}
    np.savez(folder / "resize", pixels=pixels[0], **made)
    for path in others:
        predict(Path(path).stem, keras.saving.load_model(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
