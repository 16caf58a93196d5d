"""Small random image backbones of KerasHub, in folders as its presets are."""

import keras_hub
import numpy as np

IMAGE_SIZE = 32
SHAPE = (IMAGE_SIZE, IMAGE_SIZE, 3)
SCALE, OFFSET = (0.017, 0.018, 0.019), (-2.1, -2.0, -1.8)

_TRANSFORMER = {"num_layers": 2, "num_heads": 2, "hidden_dim": 8, "patch_size": 8, "image_shape": SHAPE}
_BLOCK_OF_MOBILENET_V5 = {
    "stackwise_block_types": [["er"], ["uir"]],
    "stackwise_num_filters": [[8], [16]],
    "stackwise_strides": [[2], [2]],
    "stackwise_act_layers": [["relu"], ["relu"]],
    "stackwise_exp_ratios": [[2.0], [2.0]],
    "stackwise_se_ratios": [[0.0], [0.0]],
    "stackwise_dw_kernel_sizes": [[0], [5]],
    "stackwise_exp_kernel_sizes": [[3], [0]],
    "stackwise_pw_kernel_sizes": [[1], [0]],
    "stackwise_use_cpe": [[False], [False]],
}
_ZEROS = ("dw_start_kernel_sizes", "dw_end_kernel_sizes", "num_heads", "key_dims", "value_dims", "kv_strides")

SIZES = {
    "ResNet": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [3],
        "stackwise_num_filters": [64, 64],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
    },
    "EfficientNet": {
        "stackwise_kernel_sizes": [3, 3],
        "stackwise_num_repeats": [1, 1],
        "stackwise_input_filters": [8, 8],
        "stackwise_output_filters": [8, 8],
        "stackwise_expansion_ratios": [1, 2],
        "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
        "stackwise_strides": [1, 2],
        "stackwise_block_types": ["fused", "unfused"],
        "stackwise_force_input_filters": [0, 0],
        "stackwise_nores_option": [False, False],
        "width_coefficient": 1.0,
        "depth_coefficient": 1.0,
    },
    "MobileNet": {
        "stackwise_expansion": [[8], [16]],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_filters": [[8], [8]],
        "stackwise_kernel_size": [[3], [5]],
        "stackwise_num_strides": [[2], [2]],
        "stackwise_se_ratio": [[None], [0.25]],
        "stackwise_activation": [["relu"], ["hard_swish"]],
        "stackwise_padding": [[1], [2]],
        "output_num_filters": 16,
        "depthwise_filters": 8,
        "depthwise_stride": 2,
        "depthwise_residual": False,
        "last_layer_filter": 16,
        "squeeze_and_excite": 0.5,
        "input_num_filters": 8,
    },
    "ViT": {**_TRANSFORMER, "mlp_dim": 16, "dropout_rate": 0.1},
    "DeiT": {**_TRANSFORMER, "intermediate_dim": 16},
    "DINOV2": {**_TRANSFORMER, "intermediate_dim": 16, "position_embedding_shape": (64, 64, 3)},
    "DINOV3": {**_TRANSFORMER, "intermediate_dim": 16},
    "SwinTransformer": {
        "image_shape": SHAPE,
        "embed_dim": 8,
        "depths": (1, 1),
        "num_heads": (1, 2),
        "window_size": 4,
    },
    "VGG": {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [4, 8]},
    "DenseNet": {"stackwise_num_repeats": [2, 2], "growth_rate": 4},
    "Xception": {"stackwise_conv_filters": [[8, 8], [8, 16]], "stackwise_pooling": [True, False]},
    "CSPNet": {
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 1,
        "stackwise_depth": [1, 1],
        "stackwise_strides": [2, 2],
        "stackwise_num_filters": [8, 16],
        "block_type": "dark_block",
        "stage_type": "dark",
    },
    "HGNetV2": {
        "depths": [1, 1],
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "stem_channels": [3, 4, 8],
        "hidden_act": "relu",
        "use_learnable_affine_block": False,
        "stackwise_stage_filters": [(8, 4, 8, 1, 1, 3), (8, 8, 16, 1, 1, 3)],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, False],
    },
    "MiT": {
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
        "image_shape": SHAPE,
        "hidden_dims": [8, 16],
    },
    "MobileNetV5": {
        **_BLOCK_OF_MOBILENET_V5,
        **{f"stackwise_{name}": [[0], [0]] for name in _ZEROS},
        "stackwise_num_blocks": [1, 1],
        "use_msfa": False,
    },
    "ViTDet": {
        "hidden_size": 8,
        "num_layers": 2,
        "intermediate_dim": 16,
        "num_heads": 2,
        "global_attention_layer_indices": [1],
        "image_shape": SHAPE,
        "patch_size": 8,
        "num_output_channels": 8,
        "window_size": 2,
    },
}
"""Arguments of the backbones of KerasHub, by the start of the names of their classes."""


def make_backbone(name):
    """Returns a backbone of `SIZES` with random weights, also those that are zeros or ones at first."""
    backbone = getattr(keras_hub.models, f"{name}Backbone")(**SIZES[name])
    random = np.random.default_rng(0)
    for weight in backbone.weights:
        step = 0.1 * random.normal(size=weight.shape)
        if "interpolated" not in weight.name:  # Is computed from others when weights are loaded.
            weight.assign(weight + (abs(step) if "variance" in weight.path else step))
    return backbone


def save_preset(name, folder):
    """Writes a backbone of `SIZES` and its `ImageConverter`, if there is a class of it, to a folder as a preset.

    Returns:
        A function from pixels, in [0, 255] (n, size, size, 3), and their size to the backbone's features, as KerasHub
        computes them.
    """
    make_backbone(name).save_to_preset(folder)
    converter_class = getattr(keras_hub.layers, f"{name}ImageConverter", None)
    converter = converter_class and converter_class(image_size=SHAPE[:2], scale=SCALE, offset=OFFSET)
    if converter:
        converter.save_to_preset(folder)
    backbone = keras_hub.models.Backbone.from_preset(folder)

    def compute_features(pixels, size=IMAGE_SIZE):
        if converter:
            converter.image_size = size, size
        inputs = converter(pixels) if converter else pixels.astype(np.float32)
        outputs = backbone(dict.fromkeys(backbone.input, inputs) if isinstance(backbone.input, dict) else inputs)
        return outputs["stage2"] if isinstance(outputs, dict) else outputs

    return compute_features
