"""ResNets of basic blocks of plain Keras layers (He et al. 2015), trained by `compile` and `fit`."""

import keras
from keras import layers, ops

from benchmarks import same_work
from benchmarks.keras_programs import cross_entropy, fitted, repeat_batch, seed_everything


def program(folder, precision, config, batch_size, classes=10):
    """Returns the `Program` of `fit` with SGD, Nesterov momentum and decay, on images that are ready.

    Args:
        folder: that of `same_work`.
        precision: "float32" or "bfloat16".
        config: a `ResNetConfig` of basic blocks and the stem for 32x32.
        batch_size: images in a step.
        classes: of the logits.
    """
    seed_everything(precision)
    model = make_resnet(config, classes)
    model.compile(
        keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True, weight_decay=5e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    batch = same_work.start(folder, same_work.named_weights(model))
    loss = cross_entropy(model, batch["images"], batch["labels"])
    batches, size = repeat_batch((batch["images"], batch["labels"]))
    return fitted(model, batches, loss, model.trainable_variables, size)


def make_resnet(config, classes):
    """Returns the network of `karpa_tf.models.resnet.make_resnet`, of plain Keras layers."""
    images = keras.Input((32, 32, 3))
    x = layers.ReLU()(_norm()(_convolution(config.filters[0])(images)))
    for stage, (count, width) in enumerate(zip(config.blocks, config.filters, strict=True)):
        for place in range(count):
            stride = 2 if stage and not place else 1
            y = layers.ReLU()(_norm()(_convolution(width, 3, stride)(x)))
            y = _norm()(_convolution(width)(y))
            x = layers.ReLU()(layers.Add()([_shortcut(x, width, stride, config), y]))
    logits = layers.Dense(classes, dtype="float32")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(images, logits)


def _shortcut(x, width, stride, config):
    extra = width - x.shape[-1]
    if not extra:
        return x
    if config.shortcut == "projection":
        return _norm()(_convolution(width, 1, stride)(x))
    return ops.pad(x[:, ::stride, ::stride], [[0, 0], [0, 0], [0, 0], [extra // 2, extra - extra // 2]])


def _convolution(width, kernel_size=3, stride=1):
    return layers.Conv2D(width, kernel_size, stride, "same", use_bias=False)


def _norm():
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)
