"""karpa_tf's classifier, from uint8 images on, which are flipped and shifted."""

import numpy as np

from benchmarks import made_up, same_work
from benchmarks.keras_programs import cross_entropy, fitted, seed_everything
from karpa_tf.configs.classifier_presets import CIFAR_AUGMENTATION
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import make_labeled_batches
from karpa_tf.data.images.decoding import normalize
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.classifier import Classifier


def program(folder, precision, config, batch_size, classes=10):
    """Returns the `Program` of a step with SGD, Nesterov momentum and weight decay, on `make_labeled_batches`.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16".
        config: any classifier's config.
        batch_size: images in a step.
        classes: of the logits.
    """
    seed_everything(precision)
    model = make_classifier(config, (32, 32, 3), classes)
    trainer = Classifier(model)
    sgd, parts = (
        OptimizerConfig(optimizer="sgd", weight_decay=5e-4),
        [optimizers.ParameterGroup(model.trainable_variables)],
    )
    trainer.compile(optimizers.make_optimizer_groups(sgd, 0.01, parts, 10**6, 10**6), jit_compile=False)
    image_set = made_up.image_set(32, classes)
    images, labels = np.asarray(normalize(image_set.images[:batch_size])), image_set.labels[:batch_size]
    batch = same_work.start(folder, same_work.named_weights(model), {"images": images, "labels": labels})
    return fitted(
        trainer,
        make_labeled_batches(image_set, batch_size, 0, make_augmentation(CIFAR_AUGMENTATION, (32, 32, 3))),
        cross_entropy(model, batch["images"], batch["labels"]),
        model.trainable_variables,
        image_set.images.nbytes,
    )
