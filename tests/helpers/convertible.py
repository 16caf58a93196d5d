"""Small networks to convert to other formats, and the outputs of functions and of converted files."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported_models import BERT, CLASSES, IMAGE_SIZE, VOCABULARY, randomize
from tiny_backbones import OFFSET, SCALE, SHAPE, make_backbone

from karpa_tf.configs import dcgan, masked_image_presets, resnet
from karpa_tf.configs.backbone import BackboneConfig
from karpa_tf.data.text.vocabulary import SPECIAL
from karpa_tf.export import onnx, tflite
from karpa_tf.export.classifier import make_classifier_functions
from karpa_tf.export.embedder import make_embedder_functions
from karpa_tf.export.generator import make_generator_functions
from karpa_tf.export.masked_image import make_masked_image_functions
from karpa_tf.export.masked_lm import make_masked_lm_functions
from karpa_tf.export.tagger import make_tagger_functions
from karpa_tf.export.text_inputs import TextInputs
from karpa_tf.models.bert import make_embedder, make_encoder, make_masked_lm, make_tagger, make_text_classifier
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_generator
from karpa_tf.models.masked_autoencoder import make_reconstructor
from karpa_tf.models.vit import make_vit_encoder

NETWORKS = (
    *("classifier", "backbone", "generator", "masked_autoencoder"),
    *("masked_lm", "text_classifier", "tagger", "embedder"),
)
RESNET = resnet.ResNetConfig(filters=(4, 8), blocks=(1, 1))


def make_network(name, **config):
    """Returns a small network.

    Args:
        name: one of `NETWORKS`.
        **config: changes of its config.

    Returns:
        Its `tf.function`; its model; and a function from a batch size and a length to a dict of random inputs.
    """
    random = np.random.default_rng(7)
    if name == "classifier":
        input_shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
        model = make_classifier(dataclasses.replace(RESNET, **config), input_shape, len(CLASSES))
        function = make_classifier_functions(randomize(model, 0.1), CLASSES)["images"]
        return function, model, lambda n, _: {"images": random.integers(0, 256, (n, *input_shape), np.uint8)}
    if name == "backbone":
        preset = {"class": "MobileNetBackbone", "config": make_backbone("MobileNet").get_config()}
        preset["config"].pop("dtype")
        backbone = BackboneConfig(backbone=json.dumps(preset | {"scale": SCALE, "offset": OFFSET}), **config)
        model = randomize(make_classifier(backbone, SHAPE, len(CLASSES)), 0.1)
        function = make_classifier_functions(model, CLASSES)["images"]
        return function, model, lambda n, _: {"images": random.integers(0, 256, (n, *SHAPE), np.uint8)}
    if name == "generator":
        model = randomize(make_generator(dataclasses.replace(dcgan.TINY, **config)), 0.3)
        function = make_generator_functions(model)["noise"]
        return function, model, lambda n, _: {"noise": random.normal(size=(n, 8)).astype(np.float32)}
    if name == "masked_autoencoder":
        preset, shape = masked_image_presets.PRESETS["smoke"], (IMAGE_SIZE, IMAGE_SIZE, 3)
        model = randomize(make_vit_encoder(dataclasses.replace(preset.model, **config), shape), 0.1)
        reconstructor = make_reconstructor(preset.model, preset.decoder, shape)
        function = make_masked_image_functions(model, reconstructor, preset.model.patch_size, True)["images"]
        return function, model, lambda n, _: {"images": random.integers(0, 256, (n, *shape), np.uint8)}
    config = dataclasses.replace(BERT, **config)
    encoder = make_encoder(config, len(VOCABULARY))

    def make_token_ids(count, length):
        token_ids = random.integers(len(SPECIAL), len(VOCABULARY), (count, length), np.int32)
        token_ids[0, length // 2 + 1 :] = 0
        return {"token_ids": token_ids}

    if name == "masked_lm":
        model = randomize(make_masked_lm(config, encoder), 0.3)

        def make_masked_inputs(count, length):
            positions = {"mask_positions": random.integers(0, length, (count, length // 3), np.int32)}
            return make_token_ids(count, length) | positions

        functions, _ = make_masked_lm_functions(model, VOCABULARY, config.max_sequence_length)
        return functions["token_ids"], model, make_masked_inputs
    if name == "tagger":
        model = randomize(make_tagger(config, len(VOCABULARY), 5, window_length=8), 0.3)

        def make_words(count, length):
            positions = {"word_positions": np.sort(random.integers(0, length, (count, length // 2), np.int32))}
            return make_token_ids(count, length) | positions

        return make_tagger_functions(model, TextInputs(VOCABULARY, 40), ("LOC", "PER"))[1], model, make_words
    if name == "embedder":
        model = randomize(make_embedder(config, len(VOCABULARY), window_length=8), 0.3)
        return make_embedder_functions(model, TextInputs(VOCABULARY, 40))[1], model, make_token_ids
    model = randomize(make_text_classifier(config, len(VOCABULARY), 2, window_length=8), 0.3)

    @tf.function(input_signature=[tf.TensorSpec((None, None), tf.int32, name="token_ids")])
    def compute_scores(token_ids):
        return {"scores": tf.nn.softmax(model({"token_ids": token_ids, "padding_mask": token_ids != 0}))}

    return compute_scores, model, make_token_ids


def make_dense(inputs, outputs, activation):
    """Returns a `tf.function` of one dense layer from `x` to `y`, and a list of one dict of inputs."""
    layer = keras.layers.Dense(outputs)
    layer.build((None, inputs))

    @tf.function(input_signature=[tf.TensorSpec((None, inputs), tf.float32, name="x")])
    def function(x):
        return {"y": activation(layer(x))}

    return function, [{"x": np.random.default_rng(0).normal(size=(5, inputs)).astype(np.float32)}]


def require_format(module):
    """Returns `tflite` or `onnx`, or skips the test if its packages are not installed."""
    pytest.importorskip({tflite: "ai_edge_litert", onnx: "tf2onnx"}[module])
    return module


def run_file(file, inputs):
    """Returns the outputs of a converted file, a dict of arrays."""
    if file.suffix == ".tflite":
        interpreter = pytest.importorskip("ai_edge_litert.interpreter").Interpreter(str(file))
        return interpreter.get_signature_runner("serving_default")(**inputs)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(file))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def run_function(function, inputs):
    """Returns the numeric outputs of a `tf.function`, a dict of arrays."""
    outputs = function(**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in outputs.items() if value.dtype != tf.string}


def assert_close(received, expected, tolerance=1e-5):
    """Compares dicts of arrays; uint8 pixels may differ by 1."""
    assert received.keys() == expected.keys()
    for name, value in expected.items():
        assert received[name].dtype == value.dtype
        limit = 1 if value.dtype == np.uint8 else tolerance * max(1, np.abs(value).max())
        np.testing.assert_allclose(received[name].astype(float), value.astype(float), rtol=0, atol=limit)
