"""Layers in a row, as data: which are tried against real Keras, and which must be refused."""

from __future__ import annotations

from typing import Any

SHAPE = (13, 10, 3)
Spec = tuple[str, dict[str, Any]]
ACTIVATIONS = [
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "softmax", "sigmoid", "hard_sigmoid"),
    *("tanh", "softplus", "softsign", "exponential", "silu", "swish", "hard_silu", "mish", "gelu"),
    *("celu", "hard_tanh", "log_sigmoid", "log_softmax", "squareplus"),
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
    "resize_bicubic": [("Resizing", {"height": 7, "width": 17, "interpolation": "bicubic"})],
    "resize_antialiased": [("Resizing", {"height": 5, "width": 6, "antialias": True})],
    "resize_bicubic_antialiased": [
        ("Resizing", {"height": 5, "width": 16, "interpolation": "bicubic", "antialias": True})
    ],
    "resize_lanczos": [("Resizing", {"height": 20, "width": 6, "interpolation": "lanczos3"})],
    "resize_padded": [
        ("Resizing", {"height": 8, "width": 8, "pad_to_aspect_ratio": True, "fill_value": 0.7})
    ],
    "resize_padded_wide": [("Resizing", {"height": 6, "width": 12, "pad_to_aspect_ratio": True})],
    "upsampling_bicubic": [("UpSampling2D", {"interpolation": "bicubic"})],
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
    "transposed": [("Conv2DTranspose", {"filters": 4, "kernel_size": 3, "strides": 2, "activation": "relu"})],
    "transposed_same": [
        ("Conv2DTranspose", {"filters": 4, "kernel_size": 4, "strides": 2, "padding": "same"})
    ],
    "transposed_odd": [
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "padding": "same"})
    ],
    "transposed_gaps": [
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 2, "strides": (3, 1), "use_bias": False})
    ],
    "transposed_gaps_same": [
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 1, "strides": 2, "padding": "same"})
    ],
    "group_norm": [("Conv2D", {"filters": 6, "kernel_size": 1}), ("GroupNormalization", {"groups": 3})],
    "group_norm_each": [("GroupNormalization", {"groups": -1, "scale": False})],
    "unit_norm": [("UnitNormalization", {})],
    "unit_norm_image": [("UnitNormalization", {"axis": [1, 2]})],
    "permute": [("Permute", {"dims": (3, 1, 2)}), ("Conv2D", {"filters": 2, "kernel_size": 3})],
    "repeat": [("Flatten", {}), ("Dense", {"units": 4}), ("RepeatVector", {"n": 3}), ("Dense", {"units": 2})],
    "up_sampling_smooth": [("UpSampling2D", {"size": (2, 3), "interpolation": "bilinear"})],
    "resizing_smaller": [("Resizing", {"height": 7, "width": 8})],
    "resizing_larger": [("Resizing", {"height": 29, "width": 11})],
    "resizing_nearest": [("Resizing", {"height": 6, "width": 17, "interpolation": "nearest"})],
    "resizing_cut": [("Resizing", {"height": 9, "width": 4, "crop_to_aspect_ratio": True})],
    "centre_crop": [("CenterCrop", {"height": 8, "width": 7})],
    "resizing_to_itself": [("Resizing", {"height": 13, "width": 10})],
    **{f"activation_{name}": [("Activation", {"activation": name})] for name in ACTIVATIONS},
    **{f"without_{kind}": [("Conv2D", {"filters": 3, "kernel_size": 3}), (kind, options)]
       for kind, options in TRAINING_ONLY},
}  # fmt: skip
REFUSED: dict[str, list[Spec]] = {
    "output_padding": [
        ("Conv2DTranspose", {"filters": 2, "kernel_size": 3, "strides": 2, "output_padding": 1})
    ],
    "EinsumDense": [("EinsumDense", {"equation": "abcd,de->abce", "output_shape": (13, 10, 4)})],
    "RandomCrop": [("RandomCrop", {"height": 8, "width": 8})],
    "axis=1": [("BatchNormalization", {"axis": 1})],
    "sparsemax": [("Activation", {"activation": "sparsemax"})],
}
