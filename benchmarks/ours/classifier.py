"""karpa_tf's classifier, trained on uint8 images with random flips and shifts."""

import numpy as np

from benchmarks import shared_weights, synthetic
from benchmarks.keras_programs import configure_keras, cross_entropy, make_fit_program
from karpa_tf.configs.classifier_presets import CIFAR_AUGMENTATION
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.data.images.augmentation import make_augmentation
from karpa_tf.data.images.batches import make_labeled_batches
from karpa_tf.data.images.decoding import normalize
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.training import optimizers
from karpa_tf.training.trainers.classifier import Classifier


def make_program(folder, precision, config, batch_size, num_classes=10):
    """Returns the `Program` of steps with SGD, Nesterov momentum and weight decay, on `make_labeled_batches`.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: config of any classifier.
        batch_size: images per step.
        num_classes: number of logits.
    """
    configure_keras(precision)
    model = make_classifier(config, (32, 32, 3), num_classes)
    trainer = Classifier(model)
    sgd = OptimizerConfig(optimizer="sgd", weight_decay=5e-4)
    groups = [optimizers.ParameterGroup(model.trainable_variables)]
    trainer.compile(optimizers.make_optimizer_groups(sgd, 0.01, groups, 10**6, 10**6), jit_compile=False)
    image_set = synthetic.make_image_set(32, num_classes)
    images, labels = np.asarray(normalize(image_set.images[:batch_size])), image_set.labels[:batch_size]
    variables = shared_weights.name_variables(model)
    batch = shared_weights.assign_weights(folder, variables, {"images": images, "labels": labels})
    return make_fit_program(
        trainer,
        make_labeled_batches(image_set, batch_size, 0, make_augmentation(CIFAR_AUGMENTATION, (32, 32, 3))),
        cross_entropy(model, batch["images"], batch["labels"]),
        model.trainable_variables,
        image_set.images.nbytes,
    )
