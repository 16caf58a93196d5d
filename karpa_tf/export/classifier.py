"""A classifier as a SavedModel: from picture files, from pixels, and from `tf.Example`."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.decoding import decode_square, normalised
from karpa_tf.export.versions import publish

FEATURE = "image_bytes"
"""Where a serialized `tf.Example` holds the picture file."""


def export_classifier(model, classes, base):
    """Publishes the next version of a classifier below `base` and returns its folder.

    Signatures; outputs are `classes`, string (batch, classes), the same in every row, and `scores`, float32
    (batch, classes), probabilities in that order:
        serving_default: `image_bytes`, string (batch,): JPEG, PNG, GIF, BMP or WebP files of any size.
        images: `images`, uint8 (batch, height, width, channels).
        classify: `inputs`, string (batch,): `tf.Example` with the file as bytes feature `image_bytes`.

    Args:
        model: images, float32 (batch, height, width, channels) in [-1, 1], to logits.
        classes: their names, in the order of the logits.
        base: folder of the model's versions.
    """
    functions = classifier_functions(model, classes)

    def check(signatures):
        pixels = np.random.default_rng(0).integers(0, 256, (3, *model.input_shape[1:]), np.uint8)
        served = signatures["images"](images=tf.constant(pixels))
        expected = functions["images"](tf.constant(pixels))
        np.testing.assert_allclose(served["scores"], expected["scores"], atol=1e-5)
        files = [tf.io.encode_png(picture) for picture in pixels]
        served = signatures["serving_default"](image_bytes=tf.stack(files))
        np.testing.assert_allclose(served["scores"], expected["scores"], atol=1e-5)

    return publish(base, functions, [model], check)


def classifier_functions(model, classes):
    """Returns the functions of the signatures by name, as `export_classifier` describes them; the default first."""
    height, _, channels = model.input_shape[1:]
    names = tf.constant(list(classes))

    def answer(pixels):
        logits = model(normalised(pixels), training=False)
        scores = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    def decoded(files):
        one = tf.TensorSpec((height, height, channels), tf.uint8)
        return tf.map_fn(lambda file: decode_square(file, height, channels), files, fn_output_signature=one)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_files(image_bytes):
        return answer(decoded(image_bytes))

    @tf.function(input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images")])
    def from_images(images):
        return answer(images)

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def from_examples(inputs):
        features = tf.io.parse_example(inputs, {FEATURE: tf.io.FixedLenFeature((), tf.string)})
        return answer(decoded(features[FEATURE]))

    return {"serving_default": from_files, "images": from_images, "classify": from_examples}
