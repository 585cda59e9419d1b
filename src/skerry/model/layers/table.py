"""The table: every Keras layer this build knows, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from skerry.model.graph import Node
from skerry.model.layers import activations, arithmetic, convolution, pooling, shaping
from skerry.model.onnx_writer import OnnxWriter, Tensor

Emit = Callable[[OnnxWriter, Node, Sequence[Tensor]], Tensor]

# Layers that only act during training. RandomCrop is not among them: it crops and resizes when predicting.
DROPPED = frozenset(
    [
        "Dropout",
        "SpatialDropout2D",
        "GaussianDropout",
        "GaussianNoise",
        "AlphaDropout",
        "ActivityRegularization",
        "Identity",
        "RandomFlip",
        "RandomRotation",
        "RandomZoom",
        "RandomTranslation",
        "RandomContrast",
        "RandomBrightness",
        "RandomShear",
        "RandomHue",
        "RandomSaturation",
        "RandomColorJitter",
        "RandomGrayscale",
        "RandomPosterization",
        "RandomSharpness",
        "RandomGaussianBlur",
        "RandomErasing",
        "RandomInvert",
        "RandomPerspective",
        "RandomElasticTransform",
        "RandomColorDegeneration",
    ]
)

EMIT: Mapping[str, Emit] = {
    "Conv2D": convolution.conv2d,
    "DepthwiseConv2D": convolution.depthwise_conv2d,
    "SeparableConv2D": convolution.separable_conv2d,
    "Dense": convolution.dense,
    "BatchNormalization": arithmetic.batch_normalization,
    "LayerNormalization": arithmetic.layer_normalization,
    "Normalization": arithmetic.normalization,
    "Rescaling": arithmetic.rescaling,
    "Add": arithmetic.merging("Add"),
    "Subtract": arithmetic.merging("Sub"),
    "Multiply": arithmetic.merging("Mul"),
    "Maximum": arithmetic.merging("Max"),
    "Minimum": arithmetic.merging("Min"),
    "Average": arithmetic.merging("Add", mean=True),
    "Concatenate": shaping.concatenate,
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "ZeroPadding2D": shaping.zero_padding,
    "Cropping2D": shaping.cropping,
    "UpSampling2D": shaping.up_sampling,
    "Resizing": shaping.resizing,
    "MaxPooling2D": pooling.max_pooling,
    "AveragePooling2D": pooling.average_pooling,
    "GlobalAveragePooling2D": pooling.global_average_pooling,
    "GlobalMaxPooling2D": pooling.global_max_pooling,
    "Activation": activations.activation_layer,
    "ReLU": activations.relu,
    "LeakyReLU": activations.leaky_relu,
    "ELU": activations.elu,
    "PReLU": activations.prelu,
    "Softmax": activations.softmax,
    "ops.Add": arithmetic.operation("Add"),
    "ops.Subtract": arithmetic.operation("Sub"),
    "ops.Multiply": arithmetic.operation("Mul"),
    "ops.Divide": arithmetic.operation("Div"),
    "ops.TrueDivide": arithmetic.operation("Div"),
    "ops.Gelu": activations.gelu_operation,
}
