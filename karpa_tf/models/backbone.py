"""Image backbones of KerasHub with a new classification head, and the presets that they come from."""

import json
from pathlib import Path

import keras
import keras_hub
import numpy as np
from keras import layers

from karpa_tf.configs.backbone import BackboneConfig
from karpa_tf.errors import UserError, first_line
from karpa_tf.layers.convolution import run_without_xla
from karpa_tf.layers.dropout import Dropout
from karpa_tf.models.keras_hub_presets import is_preset, load_part

FEATURE_MAPS = (
    *("CSPNet", "DenseNet", "EfficientNet", "HGNetV2", "MiT", "MobileNet", "MobileNetV5", "ResNet", "VGG", "ViTDet"),
    "Xception",
)
"""Backbones whose last output is a feature map, (batch, rows, columns, filters)."""

TOKENS = ("DINOV2", "DINOV3", "DeiT", "SwinTransformer", "ViT")
"""Backbones whose output is a sequence, (batch, tokens, hidden_dim): of patches, mostly after a class token."""

INTERPOLATED = ("DINOV2Backbone",)
"""Those that interpolate their position embeddings when weights are loaded, and back when they are saved."""

BACKBONES = {f"{name}Backbone": getattr(keras_hub.models, f"{name}Backbone") for name in (*FEATURE_MAPS, *TOKENS)}
"""Classes of KerasHub by their names."""

UNCHANGED = {"scale": 1.0, "offset": 0.0}
"""For backbones that take pixel values from 0 to 255."""


def list_presets():
    """Returns the names of the presets that KerasHub can download, for all `BACKBONES`."""
    return sorted(name for backbone in BACKBONES.values() for name in backbone.presets)


def read_preset(preset, dropout):
    """Returns the `BackboneConfig` of a preset, without its weights.

    Args:
        preset: a folder that `save_to_preset` of a backbone, or of an image classifier, has written; or a name.
        dropout: dropout rate of the pooled features.

    Returns:
        The config; and whether the preset says which pixel values its backbone takes. If not, those are from 0 to 255.

    Raises:
        UserError: the preset cannot be read or downloaded, or is of another kind.
    """
    if Path(preset).is_dir() and not is_preset(preset):
        raise UserError(
            f"--init {preset} is no preset of KerasHub: its config.json is another library's. Where "
            f"keras_hub.models.Backbone.from_preset('{preset}') can convert it, save the result by save_to_preset."
        )
    backbone = _load(keras_hub.models.Backbone, preset, load_weights=False)
    name, values = type(backbone).__name__, UNCHANGED
    if BACKBONES.get(name) is not type(backbone):
        raise UserError(
            f"--init {preset} is a {name}, no image classifier's backbone; expected {', '.join(BACKBONES)}."
        )
    has_converter = not Path(preset).is_dir() or Path(preset, "image_converter.json").is_file()
    if has_converter:
        values = _read_pixel_values(_load(keras_hub.layers.ImageConverter, preset), preset)
    # The precision is that of the run.
    config = {key: value for key, value in backbone.get_config().items() if key not in ("dtype", "trainable")}
    return BackboneConfig(
        backbone=json.dumps({"class": name, "config": config} | values), dropout=dropout
    ), has_converter


def make_backbone(config, input_shape, classes):
    """Returns a model of `images`, float32 (batch, height, width, 3) in [-1, 1], to `logits`, float32 (batch, classes).

    Its weights are random; `load_backbone` sets those of a preset. Named layers: `backbone`, KerasHub's model;
    `features`, its last feature map, (batch, rows, columns, filters), or its sequence, (batch, tokens, hidden_dim);
    `pooled`, the class token where there is one, or else the mean; and `logits`.

    Args:
        config: a `BackboneConfig` of a preset.
        input_shape: (height, width, 3).
        classes: number of classes.

    Raises:
        UserError: the config is of no preset, or the backbone takes no images of this shape.
    """
    if not config.backbone:
        raise UserError("--init is needed: the name of a KerasHub preset, or a folder that holds one.")
    values = json.loads(config.backbone)
    shape_name = "input_shape" if values["class"] == "EfficientNetBackbone" else "image_shape"
    own_shape = values["config"][shape_name]
    if input_shape[-1] != own_shape[-1]:
        raise UserError(
            f"The backbone of --init takes images with --channels {own_shape[-1]}; received {input_shape[-1]}."
        )
    changes = {shape_name: tuple(input_shape), "name": "backbone"}
    if values["class"] in INTERPOLATED:  # Weights of a run must be loaded as they were saved.
        changes["position_embedding_shape"] = tuple(input_shape)
    try:
        backbone = BACKBONES[values["class"]].from_config(values["config"] | changes)
    except ValueError as error:  # KerasHub says which image sizes it takes.
        raise UserError(
            f"{values['class']} cannot be built for {input_shape}: {first_line(error)}{_suggest_size(own_shape)}"
        ) from error
    if values["class"] in INTERPOLATED:
        # KerasHub 0.32 saves what was trained here only if its sum has become smaller.
        backbone.embeddings.interpolated_position_embeddings.trainable = False
    run_without_xla(backbone)
    images = keras.Input(input_shape, name="images")
    scale, offset = np.array(values["scale"]), np.array(values["offset"])
    # Of pixels in [0, 255]; bfloat16 could not tell them apart.
    pixels = layers.Rescaling((127.5 * scale).tolist(), (127.5 * scale + offset).tolist(), dtype="float32")(images)
    outputs = backbone(keras.tree.map_structure(lambda _: pixels, backbone.input))
    if isinstance(outputs, dict):
        outputs = outputs[backbone.stage_names[-1]]
    features = layers.Identity(name="features")(outputs)
    x = Dropout(config.dropout)(_pool(features, values))
    return keras.Model(images, layers.Dense(classes, dtype="float32", name="logits")(x), name=values["class"])


def load_backbone(model, config, preset):
    """Sets all weights of a model but the head's to those of a preset.

    Args:
        model: the model from `make_backbone`.
        config: its `BackboneConfig`.
        preset: the name or the folder that `read_preset` read.

    Raises:
        UserError: the weights cannot be read or downloaded, or are for another image size.
    """
    resizes = json.loads(config.backbone)["class"] in INTERPOLATED
    pretrained = _load(keras_hub.models.Backbone, preset, **({"image_shape": model.input_shape[1:]} if resizes else {}))
    names, arrays = [weight.name for weight in pretrained.weights], pretrained.get_weights()
    if resizes:
        arrays[names.index("position_embeddings")] = arrays[names.index("interpolated_position_embeddings")]
    try:
        model.get_layer("backbone").set_weights(arrays)
    except ValueError as error:
        own_shape = keras.tree.flatten(pretrained.input)[0].shape[1:]
        received = "x".join(map(str, model.input_shape[1:3]))
        raise UserError(
            f"--init {preset} does not take images of {received} pixels: the shapes of its weights depend on their "
            f"size{_suggest_size(own_shape)}"
        ) from error


def _suggest_size(shape):
    return f"; --image-size {shape[0]} is that of the preset." if shape[0] else "."


def _pool(features, values):
    if len(features.shape) == 4:
        return layers.GlobalAveragePooling2D(name="pooled")(features)
    if values["class"] == "SwinTransformerBackbone" or not values["config"].get("use_class_token", True):
        return layers.GlobalAveragePooling1D(name="pooled")(features)
    return layers.Identity(name="pooled")(features[:, 0])


def _read_pixel_values(converter, preset):
    """Returns the scale and the offset of an `ImageConverter` as a dict; images are resized by ours."""
    converter.image_size = None
    values = {"scale": converter.scale, "offset": converter.offset}
    values = {name: UNCHANGED[name] if value is None else value for name, value in values.items()}
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 4, 4, 3)).astype(np.float32)
    if not np.allclose(converter(pixels), pixels * values["scale"] + values["offset"], rtol=1e-3, atol=1e-3):
        raise UserError(f"--init {preset} has a {type(converter).__name__} that does more than multiply and add.")
    return {name: np.array(value).tolist() for name, value in values.items()}


def _load(kind, preset, **options):
    return load_part(
        kind,
        preset,
        f"keras_hub.models.Backbone.from_preset('{preset}').save_to_preset('DIR') and "
        f"keras_hub.layers.ImageConverter.from_preset('{preset}').save_to_preset('DIR')",
        **options,
    )
