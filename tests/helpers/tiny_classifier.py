"""A classifier that trains in a second."""

import keras
import numpy as np

from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.data.images.batches import labeled_batches
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.models.classifiers import freeze_batch_norm, make_classifier, split_by_depth
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.classifier import Classifier

NETWORK = CNNConfig(filters=(4, 4), dense_units=(6,))


SGD = OptimizerConfig(optimizer="sgd", momentum=0.5)


STEPS = 5


FROM_NOTHING = TransferConfig()


def labeled(images, classes=3):
    labels = np.random.default_rng(1).integers(0, classes, len(images)).astype(np.int32)
    return ImageSet("random", images, "0", labels=labels, classes=tuple(f"class {i}" for i in range(classes)))


def make_trainer(
    optimization=SGD, network=NETWORK, classes=3, learning_rate=0.1, transfer=FROM_NOTHING, seed=3, **kwargs
):
    keras.utils.set_random_seed(seed)
    model = make_classifier(network, (16, 16, 1), classes)
    if transfer.freeze == "features":
        freeze_batch_norm(model)
    trainer = Classifier(model, ema=optimization.ema, **kwargs)
    scaled = model.dtype_policy.name == "mixed_float16"
    parts = optimizers.make_parameter_groups(split_by_depth(model), transfer, STEPS)
    groups = optimizers.make_optimizer_groups(optimization, learning_rate, parts, 100, STEPS, scaled)
    trainer.compile(groups, optimization.global_clipnorm, optimization.gradient_accumulation_steps)
    return trainer


def fit(trainer, images, epochs=2, batch_size=8, first_step=0, augment=None, **kwargs):
    data = labeled(images, trainer.network.output_shape[-1])
    batches = labeled_batches(data, batch_size, seed=1, first_step=first_step, augment=augment)
    arguments = {"verbose": 0, "shuffle": False} | kwargs
    return trainer.fit(batches, epochs=epochs, steps_per_epoch=len(images) // batch_size, **arguments).history


def weights_of(trainer):
    return [weight.numpy() for weight in trainer.network.weights]


def assert_same(one, other, atol=1e-6):
    for first, second in zip(weights_of(one), weights_of(other), strict=True):
        np.testing.assert_allclose(second, first, rtol=0, atol=atol)
