"""ResNets of basic blocks (He et al. 2015), built of plain Keras layers and trained with `compile` and `fit`."""

import keras
from keras import layers, ops

from benchmarks import shared_weights
from benchmarks.keras_programs import configure_keras, cross_entropy, make_fit_program, repeat_batch


def make_program(folder, precision, config, batch_size, num_classes=10):
    """Returns the `Program` of `fit` with SGD, Nesterov momentum and weight decay, on one repeated batch.

    Args:
        folder: path, as for `shared_weights`.
        precision: "float32" or "bfloat16".
        config: a `ResNetConfig` with basic blocks and the 3x3 stem.
        batch_size: images per step, as many as in the shared batch.
        num_classes: number of logits.
    """
    configure_keras(precision)
    model = make_resnet(config, num_classes)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    batch = shared_weights.assign_weights(folder, shared_weights.name_variables(model))
    loss = cross_entropy(model, batch["images"], batch["labels"])
    batches, size = repeat_batch((batch["images"], batch["labels"]))
    return make_fit_program(model, batches, loss, model.trainable_variables, size)


def make_resnet(config, num_classes):
    """Returns the network of `karpa_tf.models.resnet.make_resnet`, built of plain Keras layers."""
    images = keras.Input((32, 32, 3))
    x = layers.ReLU()(_norm()(_convolution(config.filters[0])(images)))
    for stage, (count, filters) in enumerate(zip(config.blocks, config.filters, strict=True)):
        for index in range(count):
            stride = 2 if stage and not index else 1
            y = layers.ReLU()(_norm()(_convolution(filters, 3, stride)(x)))
            y = _norm()(_convolution(filters)(y))
            x = layers.ReLU()(layers.Add()([_shortcut(x, filters, stride, config), y]))
    logits = layers.Dense(num_classes, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, logits)


def _shortcut(x, filters, stride, config):
    extra = filters - x.shape[-1]
    if not extra:
        return x
    if config.shortcut == "projection":
        return _norm()(_convolution(filters, 1, stride)(x))
    return ops.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [extra // 2, extra - extra // 2]])


def _convolution(filters, kernel_size=3, stride=1):
    return layers.Conv2D(filters, kernel_size, stride, "same", use_bias=False)


def _norm():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
