"""Features of a network whose weights stay as they are, computed once instead of in every epoch."""

import dataclasses
import hashlib

import keras
import numpy as np

from karpa_tf.data.images.features import ImageFeatures, make_function


def replace_images(splits, names, model, cache_dir=None):
    """Returns `Splits` of which some have features instead of images: inputs of the head, float32 (n, features).

    They are read from the cache if they were computed before with the same images and weights.

    Args:
        splits: a `Splits`.
        names: names of those of them to replace.
        model: the model from `make_classifier`; its layer `pooled` has the features.
        cache_dir: folder of the cache; None is the default.
    """
    frozen = keras.Model(model.input, model.get_layer("pooled").output)
    policy = frozen.layers[-1].dtype_policy.name
    features = ImageFeatures("frozen features", f"{_hash_weights(frozen)} {policy}", make_function(frozen))

    def replace(name, split):
        images = features.compute_cached(split.images, split.fingerprint, f"Features, {name}", cache_dir)
        return dataclasses.replace(split, images=images)

    replaced = {name: replace(name, split) for name, split in splits.as_dict().items() if name in names}
    return dataclasses.replace(splits, **replaced)


def _hash_weights(model):
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(weight.numpy()).tobytes())
    return digest.hexdigest()[:16]
