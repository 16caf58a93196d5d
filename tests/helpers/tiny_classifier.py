"""A classifier that trains in a second."""

import keras
import numpy as np

from karpa_tf.configs.cnn import CNNConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.configs.transfer import TransferConfig
from karpa_tf.data.images.batches import make_labeled_batches
from karpa_tf.data.images.image_set import ImageSet
from karpa_tf.models.classifiers import freeze_batch_norm, make_classifier, split_by_depth
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.classifier import Classifier

NETWORK = CNNConfig(filters=(4, 4), dense_units=(6,))
SGD = OptimizerConfig(optimizer="sgd", momentum=0.5)
STEPS_PER_EPOCH = 5
FROM_SCRATCH = TransferConfig()


def make_image_set(images, classes=3):
    """Returns an `ImageSet` of the images with random labels."""
    labels = np.random.default_rng(1).integers(0, classes, len(images)).astype(np.int32)
    return ImageSet("random", images, "0", labels=labels, classes=tuple(f"class {i}" for i in range(classes)))


def make_trainer(
    optimization=SGD, network=NETWORK, classes=3, learning_rate=0.1, transfer=FROM_SCRATCH, seed=3, **kwargs
):
    keras.utils.set_random_seed(seed)
    model = make_classifier(network, (16, 16, 1), classes)
    if transfer.freeze == "features":
        freeze_batch_norm(model)
    trainer = Classifier(model, ema=optimization.ema, **kwargs)
    scale_loss = model.dtype_policy.name == "mixed_float16"
    parameters = optimizers.make_parameter_groups(split_by_depth(model), transfer, STEPS_PER_EPOCH)
    groups = optimizers.make_optimizer_groups(optimization, learning_rate, parameters, 100, STEPS_PER_EPOCH, scale_loss)
    trainer.compile(groups, optimization.global_clipnorm, optimization.gradient_accumulation_steps)
    return trainer


def fit(trainer, images, epochs=2, batch_size=8, first_step=0, augment=None, **kwargs):
    data = make_image_set(images, trainer.network.output_shape[-1])
    batches = make_labeled_batches(data, batch_size, seed=1, first_step=first_step, augment=augment)
    arguments = {"verbose": 0, "shuffle": False} | kwargs
    return trainer.fit(batches, epochs=epochs, steps_per_epoch=len(images) // batch_size, **arguments).history


def get_weights(trainer):
    return [weight.numpy() for weight in trainer.network.weights]


def assert_same_weights(trainer, other, atol=1e-6):
    for weight, other_weight in zip(get_weights(trainer), get_weights(other), strict=True):
        np.testing.assert_allclose(other_weight, weight, rtol=0, atol=atol)
