"""SavedModels of image classifiers, with signatures for image files, pixels and `tf.train.Example`."""

import numpy as np
import tensorflow as tf

from karpa_tf.data.images.decoding import decode_squares, normalize
from karpa_tf.export.compatibility import LABELS, format_lines
from karpa_tf.export.versions import Call, Export

FEATURE = "image_bytes"
"""Feature of a `tf.Example` that contains the image file."""


def make_classifier_export(model, classes, images=None, *, task):
    """Returns the `Export` of a classifier.

    The outputs of all signatures are `classes`, string (batch, classes), the same in every row, and `scores`, float32
    (batch, classes), probabilities in this order. The signatures are:

    - serving_default: `image_bytes`, string (batch,): JPEG, PNG, GIF, BMP or WebP files of any size.
    - images: `images`, uint8 (batch, height, width, channels).
    - classify: `inputs`, string (batch,): `tf.Example`s with the file as bytes feature `image_bytes`.

    Args:
        model: maps images, float32 (batch, height, width, channels) in [-1, 1], to logits.
        classes: class names in the order of the logits.
        images: examples of real data, uint8 (n, height, width, channels), or None.
        task: name of the task, for the model card.
    """
    functions = make_classifier_functions(model, classes)
    height, width, _ = shape = model.input_shape[1:]
    noise = np.random.default_rng(0).integers(0, 256, (3, *shape), np.uint8)
    examples = _make_requests(noise if images is None else images)
    mixed_files = {"image_bytes": _to_array([_make_jpeg(shape), *_encode_images(noise)])}

    @tf.function(autograph=False, input_signature=functions["images"].input_signature)
    def compute_scores(images):
        return {"scores": functions["images"](images)["scores"]}

    return Export(
        task=task,
        form="image",
        functions=functions,
        examples=examples,
        real_examples=images is not None,
        edge_cases=_make_requests(noise) | {"serving_default": [mixed_files]},
        convertible=compute_scores,
        convertible_examples=examples["images"],
        files={LABELS: format_lines(classes)},
        details={"classes": list(classes), "shape": list(shape)},
        about=f"This model classifies images into {len(classes)} classes and returns a probability for each.",
        limits=(
            f"It knows its {len(classes)} classes only; an image of anything else is assigned to one of them too.",
            f"Images are cropped to the central square and resized to {height}x{width} pixels.",
            "The accuracy on images unlike those of its data set was not measured.",
            "A single file that is not an image makes the whole request fail.",
        ),
        calls=_make_calls(shape),
    )


def _make_calls(shape):
    image = 'open("image.jpg", "rb").read()'
    feature = f"tf.train.Feature(bytes_list=tf.train.BytesList(value=[{image}]))"
    base64 = """{"b64": "'$(base64 -w0 image.jpg)'"}"""
    return {
        "serving_default": Call(
            "`image_bytes` are JPEG, PNG, GIF, BMP or WebP files of any size. `classes` are the names of the columns "
            "of `scores`, which are probabilities.",
            f"image_bytes=tf.constant([{image}])",
            f'"instances": [{{"image_bytes": {base64}}}]',
        ),
        "images": Call("`images` are pixels from 0 to 255.", f"images=tf.zeros({(1, *shape)}, tf.uint8)"),
        "classify": Call(
            f"`inputs` are serialized `tf.Example`s with an image file as bytes feature `{FEATURE}`. This is the "
            "signature for TensorFlow Serving's Classify API.",
            f"inputs=tf.constant([tf.train.Example(features=tf.train.Features(\n"
            f'    feature={{"{FEATURE}": {feature}}}\n)).SerializeToString()])',
            f'"examples": [{{"{FEATURE}": {base64}}}]',
            "classify",
        ),
    }


def make_classifier_functions(model, classes):
    """Returns the functions of the signatures by name, see `make_classifier_export`; the default is the first."""
    height, _, channels = model.input_shape[1:]
    names = tf.constant(list(classes))

    def classify(pixels):
        logits = model(normalize(pixels), training=False)
        scores = tf.nn.softmax(tf.cast(logits, tf.float32))
        return {"classes": tf.tile(names[None], [tf.shape(scores)[0], 1]), "scores": scores}

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="image_bytes")])
    def from_files(image_bytes):
        return classify(decode_squares(image_bytes, height, channels))

    @tf.function(
        autograph=False, input_signature=[tf.TensorSpec((None, *model.input_shape[1:]), tf.uint8, name="images")]
    )
    def from_images(images):
        return classify(images)

    @tf.function(autograph=False, input_signature=[tf.TensorSpec((None,), tf.string, name="inputs")])
    def from_examples(inputs):
        features = tf.io.parse_example(inputs, {FEATURE: tf.io.FixedLenFeature((), tf.string)})
        return classify(decode_squares(features[FEATURE], height, channels))

    return {"serving_default": from_files, "images": from_images, "classify": from_examples}


def _make_requests(images):
    """Returns two requests to each signature: with all images, uint8 (n, height, width, channels), and the first."""
    files = _encode_images(images)
    features = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[file])) for file in files]
    examples = [tf.train.Example(features=tf.train.Features(feature={FEATURE: feature})) for feature in features]
    inputs = {
        "serving_default": ("image_bytes", _to_array(files)),
        "images": ("images", images),
        "classify": ("inputs", _to_array([example.SerializeToString() for example in examples])),
    }
    return {name: [{key: values}, {key: values[:1]}] for name, (key, values) in inputs.items()}


def _encode_images(images):
    return [tf.io.encode_png(image).numpy() for image in images]


def _make_jpeg(shape):
    """Returns a random JPEG file whose size and aspect ratio differ from those of the model's input."""
    height, width, channels = shape
    pixels = np.random.default_rng(1).integers(0, 256, (height + 5, width + 9, channels), np.uint8)
    return tf.io.encode_jpeg(pixels).numpy()


def _to_array(values):
    """Returns a list of bytes as an array; without `object` NumPy would remove trailing zero bytes."""
    return np.array(values, object)
