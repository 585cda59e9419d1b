"""Models made by real Keras, with what real Keras predicts: the other side of every layer test.

Run as a program (a folder to write to, then further ``.keras`` files): TensorFlow stays out of the test
process.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

SHAPE = (13, 10, 3)
Make = Callable[[], Any]
Spec = tuple[str, dict[str, Any]]
ACTIVATIONS = [
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softmax", "sigmoid", "hard_sigmoid"),
    *("tanh", "softplus", "softsign", "exponential", "silu", "swish", "hard_silu", "mish", "gelu"),
]
TRAINING_ONLY: list[Spec] = [
    ("RandomFlip", {}),
    ("RandomRotation", {"factor": 0.3}),
    ("RandomZoom", {"height_factor": 0.3}),
    ("RandomTranslation", {"height_factor": 0.2, "width_factor": 0.2}),
    ("RandomContrast", {"factor": 0.5}),
    ("RandomBrightness", {"factor": 0.5}),
    ("RandomHue", {"factor": 0.5}),
    ("RandomSaturation", {"factor": 0.5}),
    ("RandomColorJitter", {"brightness_factor": 0.5}),
    ("RandomGrayscale", {"factor": 1.0}),
    ("RandomPosterization", {"factor": 4}),
    ("RandomSharpness", {"factor": 0.5}),
    ("RandomShear", {"x_factor": 0.3}),
    ("RandomGaussianBlur", {"factor": 1.0}),
    ("RandomErasing", {}),
    ("RandomInvert", {"factor": 1.0}),
    ("RandomPerspective", {}),
    ("RandomElasticTransform", {}),
    ("RandomColorDegeneration", {"factor": 0.5}),
    ("Dropout", {"rate": 0.5}),
    ("SpatialDropout2D", {"rate": 0.5}),
    ("GaussianNoise", {"stddev": 0.5}),
    ("GaussianDropout", {"rate": 0.5}),
    ("AlphaDropout", {"rate": 0.5}),
    ("ActivityRegularization", {"l2": 0.1}),
    ("Identity", {}),
]
LAYERS: dict[str, list[Spec]] = {
    "conv": [("Conv2D", {"filters": 4, "kernel_size": 3})],
    "conv_same": [("Conv2D", {"filters": 4, "kernel_size": (2, 3), "padding": "same", "use_bias": False})],
    "conv_stride": [("Conv2D", {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same"})],
    "conv_stride_pair": [("Conv2D", {"filters": 4, "kernel_size": 5, "strides": (2, 3)})],
    "conv_wide_stride": [("Conv2D", {"filters": 4, "kernel_size": 1, "strides": 3, "padding": "same"})],
    "conv_dilated": [("Conv2D", {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same"})],
    "conv_groups": [("Conv2D", {"filters": 6, "kernel_size": 3, "groups": 3, "activation": "relu"})],
    "depthwise": [("DepthwiseConv2D", {"kernel_size": 3})],
    "depthwise_many": [
        ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "strides": 2, "padding": "same"})
    ],
    "separable": [("SeparableConv2D", {"filters": 5, "kernel_size": 3, "padding": "same", "strides": 2})],
    "separable_many": [
        ("SeparableConv2D", {"filters": 5, "kernel_size": 3, "depth_multiplier": 2, "use_bias": False})
    ],
    "conv_norm": [("Conv2D", {"filters": 4, "kernel_size": 3}), ("BatchNormalization", {})],
    "depthwise_norm": [
        ("DepthwiseConv2D", {"kernel_size": 3, "depth_multiplier": 2, "use_bias": False}),
        ("BatchNormalization", {"scale": False}),
        ("ReLU", {"max_value": 6.0}),
    ],
    "separable_norm": [
        ("SeparableConv2D", {"filters": 5, "kernel_size": 3}),
        ("BatchNormalization", {"center": False, "epsilon": 1e-2}),
    ],
    "active_conv_norm": [
        ("Conv2D", {"filters": 4, "kernel_size": 3, "activation": "relu"}),
        ("BatchNormalization", {}),
    ],
    "dense_norm": [("Flatten", {}), ("Dense", {"units": 5}), ("BatchNormalization", {})],
    "norm_after_dense_relu": [
        ("Flatten", {}),
        ("Dense", {"units": 5, "activation": "relu"}),
        ("BatchNormalization", {}),
    ],
    "norm_first": [("BatchNormalization", {}), ("Conv2D", {"filters": 4, "kernel_size": 1})],
    "layer_norm": [("LayerNormalization", {})],
    "layer_norm_flat": [("Flatten", {}), ("LayerNormalization", {"scale": False})],
    "rescaling": [("Rescaling", {"scale": 1 / 127.5, "offset": -1})],
    "rescaling_channels": [("Rescaling", {"scale": [0.1, 0.2, 0.3], "offset": [1, 2, 3]})],
    "normalization_given": [("Normalization", {"mean": [1, 2, 3], "variance": [4, 5, 6]})],
    "normalization_one": [("Normalization", {"axis": None, "mean": 1.5, "variance": 0.0})],
    "normalization_inverse": [("Normalization", {"mean": [1, 2, 3], "variance": [4, 5, 6], "invert": True})],
    "zero_padding": [("ZeroPadding2D", {"padding": ((0, 1), (2, 3))})],
    "zero_padding_one": [("ZeroPadding2D", {"padding": 2}), ("Conv2D", {"filters": 2, "kernel_size": 3})],
    "cropping": [("Cropping2D", {"cropping": ((1, 2), (0, 3))})],
    "up_sampling": [("UpSampling2D", {"size": (2, 3)})],
    "max_pool": [("MaxPooling2D", {})],
    "max_pool_same": [("MaxPooling2D", {"pool_size": 3, "strides": 2, "padding": "same"})],
    "average_pool": [("AveragePooling2D", {"pool_size": (3, 2), "strides": 1})],
    "average_pool_same": [("AveragePooling2D", {"pool_size": 3, "strides": 2, "padding": "same"})],
    "global_average": [("GlobalAveragePooling2D", {})],
    "global_average_kept": [("GlobalAveragePooling2D", {"keepdims": True}), ("Dense", {"units": 4})],
    "global_max": [("GlobalMaxPooling2D", {})],
    "global_max_kept": [("GlobalMaxPooling2D", {"keepdims": True})],
    "reshape": [("Reshape", {"target_shape": (-1, 5)}), ("Dense", {"units": 3})],
    "reshape_image": [("Reshape", {"target_shape": (10, 13, 3)}), ("MaxPooling2D", {})],
    "reshape_pixel": [("Flatten", {}), ("Dense", {"units": 4}), ("Reshape", {"target_shape": (1, 1, 4)})],
    "dense_on_image": [("Dense", {"units": 4, "activation": "tanh", "use_bias": False})],
    "dense_softmax": [("Flatten", {}), ("Dense", {"units": 6, "activation": "softmax"})],
    "relu_layer": [("ReLU", {})],
    "relu_capped_leaking": [("ReLU", {"max_value": 1.5, "negative_slope": 0.2})],
    "relu_threshold": [("ReLU", {"max_value": 6.0, "negative_slope": 0.1, "threshold": 0.5})],
    "leaky_relu_layer": [("LeakyReLU", {"negative_slope": 0.15})],
    "elu_layer": [("ELU", {"alpha": 0.7})],
    "prelu": [("PReLU", {})],
    "prelu_shared": [("PReLU", {"shared_axes": [1, 2]})],
    "softmax_layer": [("Flatten", {}), ("Softmax", {})],
    "softmax_rows": [("Softmax", {"axis": 1})],
    "resizing_to_itself": [("Resizing", {"height": 13, "width": 10})],
    **{f"activation_{name}": [("Activation", {"activation": name})] for name in ACTIVATIONS},
    **{f"without_{kind}": [("Conv2D", {"filters": 3, "kernel_size": 3}), (kind, options)]
       for kind, options in TRAINING_ONLY},
}  # fmt: skip
REFUSED: dict[str, list[Spec]] = {
    "Conv2DTranspose": [("Conv2DTranspose", {"filters": 2, "kernel_size": 3})],
    "GroupNormalization": [("GroupNormalization", {"groups": 1})],
    "RandomCrop": [("RandomCrop", {"height": 8, "width": 8})],
    "Resizing": [("Resizing", {"height": 8, "width": 8})],
    "bilinear": [("UpSampling2D", {"interpolation": "bilinear"})],
    "axis=1": [("BatchNormalization", {"axis": 1})],
    "log_softmax": [("Activation", {"activation": "log_softmax"})],
}


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

    def adapted() -> Any:
        x = image()
        layer = named("Normalization")()
        layer.build((None, *SHAPE))
        return keras.Model(x, named("Flatten")()(layer(x)))

    merges = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
    return {
        **{f"merge_{kind}": merging(kind) for kind in merges},
        **{make.__name__: make for make in (gate, joined, nested, model_at_the_end, twins, shared, sequential,
                                            unnamed_input, several_outputs, operations, adapted)},
        "mobilenet_v2": lambda: keras.applications.MobileNetV2(
            weights=None, input_shape=(96, 96, 3), classes=7
        ),
        "resnet50": lambda: keras.applications.ResNet50(
            weights=None, input_shape=(64, 64, 3), classes=7, classifier_activation=None
        ),
        "efficientnet_b0": lambda: keras.applications.EfficientNetB0(
            weights=None, input_shape=(64, 64, 3), classes=7
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
        return keras.Model(x, keras.layers.Flatten()(keras.layers.Conv2D(2, 3, dtype="mixed_float16")(x)))

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

    return {
        "2 inputs": two_inputs,
        "mixed_float16": half,
        "not one number per class": image_output,
        "Lambda": code,
        "Scale": foreign,
        "open size": open_size,
    }


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
    import numpy as np

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
        np.savez(folder / f"{name}.npz", x=x, y=np.asarray(model(x, training=False)))

    for name, specs in LAYERS.items():
        model = row(keras, specs)
        save(name, model)
        predict(name, model)
    for name, make in structures(keras).items():
        model = make()
        save(name, model)
        predict(name, model)
    for name, specs in REFUSED.items():
        save(f"refused {name}", row(keras, specs))
    for name, make in refused_structures(keras).items():
        save(f"refused {name}", make())
    resize = keras.ops.image.resize
    pixels = random.integers(0, 256, (1, 61, 83, 3)).astype(np.float32)
    methods = ("nearest", "bilinear")
    resized = {m: np.asarray(resize(pixels, (32, 40), interpolation=m))[0] for m in methods}
    larger = {f"{m}_larger": np.asarray(resize(pixels, (96, 97), interpolation=m))[0] for m in methods}
    np.savez(folder / "resize", pixels=pixels[0], **resized, **larger)
    for path in others:
        predict(Path(path).stem, keras.saving.load_model(path))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
