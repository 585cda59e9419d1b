"""The table: every Keras layer this build knows, and what it becomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from skerry.model.layers import (
    activations,
    arithmetic,
    convolution,
    normalising,
    pooling,
    resampling,
    shaping,
)
from skerry.model.layers.operations import OPERATIONS
from skerry.model.network import Node
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
        "StochasticDepth",
        "RandomHeight",
        "RandomWidth",
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
    "Conv2DTranspose": convolution.conv2d_transpose,
    "BatchNormalization": normalising.batch_normalization,
    "LayerNormalization": normalising.layer_normalization,
    "GroupNormalization": normalising.group_normalization,
    "UnitNormalization": normalising.unit_normalization,
    "Normalization": arithmetic.normalization,
    "Rescaling": arithmetic.rescaling,
    "Add": arithmetic.merging("Add"),
    "Subtract": arithmetic.merging("Sub"),
    "Multiply": arithmetic.merging("Mul"),
    "Maximum": arithmetic.merging("Max"),
    "Minimum": arithmetic.merging("Min"),
    "Average": arithmetic.merging("Add", mean=True),
    "Dot": arithmetic.dot,
    "CustomScaleLayer": arithmetic.custom_scale,
    "LayerScale": arithmetic.layer_scale,
    "Concatenate": shaping.concatenate,
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "ZeroPadding2D": shaping.zero_padding,
    "Cropping2D": shaping.cropping,
    "Permute": shaping.permute,
    "RepeatVector": shaping.repeat_vector,
    "UpSampling2D": resampling.up_sampling,
    "Resizing": resampling.resizing,
    "CenterCrop": resampling.centre_crop,
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
    **OPERATIONS,
    "ops.Softmax": activations.softmax,
    "ops.Gelu": activations.gelu_operation,
}
