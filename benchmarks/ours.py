"""karpa_tf's own trainers with its own pipelines, as contenders: `fit` from uint8 pictures or numbers of tokens on."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import same_work
from benchmarks.keras_programs import fitted, set_up
from karpa_tf import losses, optimizers
from karpa_tf.configs.classifier_presets import CIFAR_AUGMENTATION
from karpa_tf.configs.masked_lm import MaskedLMConfig
from karpa_tf.configs.optimizer import OptimizerConfig
from karpa_tf.data.augmentation import make_augmentation
from karpa_tf.data.batches import labelled_batches, noise_batches
from karpa_tf.data.decoding import normalised
from karpa_tf.data.image_set import ImageSet
from karpa_tf.data.text_batches import masked_batches
from karpa_tf.data.token_cache import Tokens
from karpa_tf.models.bert import make_encoder, make_masked_lm
from karpa_tf.models.classifiers import make_classifier
from karpa_tf.models.dcgan import make_discriminator, make_generator
from karpa_tf.text.masking import make_masking
from karpa_tf.text.vocabulary import SPECIAL, Vocabulary
from karpa_tf.trainers.classifier import Classifier
from karpa_tf.trainers.gan import GAN
from karpa_tf.trainers.masked_lm import MaskedLM

PICTURES = 2048
"""Random pictures that are trained on."""

ROWS = 2048
"""Random rows of tokens that are trained on."""


def gan(folder, precision, config, batch_size):
    """Returns the `Program` of the GAN step of one generator pass, with Adam, on `noise_batches`."""
    set_up(precision)
    trainer = GAN(make_generator(config), make_discriminator(config), ema=0)
    trainer.compile(keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5), jit_compile=False)
    pictures = random_pictures(config.side, config.channels)
    variables = {f"generator/{name}": v for name, v in same_work.named_weights(trainer.generator).items()}
    variables |= {f"discriminator/{name}": v for name, v in same_work.named_weights(trainer.discriminator).items()}
    rng = np.random.default_rng(1)
    batch = same_work.start(
        folder,
        variables,
        {
            "images": np.asarray(normalised(pictures[:batch_size])),
            "noise": rng.normal(size=(batch_size, config.latent_dim)).astype(np.float32),
        },
    )
    return fitted(
        trainer,
        noise_batches(pictures, batch_size, config.latent_dim, seed=0),
        gan_loss(trainer.generator, trainer.discriminator, batch),
        trainer.generator.trainable_variables + trainer.discriminator.trainable_variables,
        pictures.nbytes,
    )


def gan_loss(generator, discriminator, batch):
    """Returns the three losses of both players together, in inference mode, on a batch of `images` and `noise`."""
    real = discriminator(batch["images"], training=False)
    fake = discriminator(generator(batch["noise"], training=False), training=False)
    parts = losses.real_loss(real), losses.fake_loss(fake), losses.non_saturating_loss(fake)
    return sum(float(tf.reduce_mean(part)) for part in parts)


def classifier(folder, precision, config, batch_size, side=32, classes=10):
    """Returns the `Program` of a classifier with SGD, Nesterov momentum and decay, its pictures flipped and shifted."""
    set_up(precision)
    model = make_classifier(config, (side, side, 3), classes)
    trainer = Classifier(model)
    decayed = OptimizerConfig(optimizer="sgd", weight_decay=5e-4)
    parts = [optimizers.Part(model.trainable_variables)]
    trainer.compile(optimizers.make_groups(decayed, 0.01, parts, 10**6, 10**6), jit_compile=False)
    image_set = random_image_set(side, classes)
    labels = image_set.labels[:batch_size]
    batch = {"images": np.asarray(normalised(image_set.images[:batch_size])), "labels": labels}
    batch = same_work.start(folder, same_work.named_weights(model), batch)
    logits = model(batch["images"], training=False)
    return fitted(
        trainer,
        labelled_batches(image_set, batch_size, 0, make_augmentation(CIFAR_AUGMENTATION, (side, side, 3))),
        float(tf.reduce_mean(losses.token_cross_entropy(batch["labels"], logits))),
        model.trainable_variables,
        image_set.images.nbytes,
    )


def masked_lm(folder, precision, config, batch_size, words):
    """Returns the `Program` of a masked language model with AdamW and clipping, on `masked_batches`."""
    set_up(precision)
    model = make_masked_lm(config, make_encoder(config, words))
    trainer = MaskedLM(model)
    optimization = MaskedLMConfig().optimization
    parts = [optimizers.Part(model.trainable_variables)]
    groups = optimizers.make_groups(optimization, 1e-4, parts, 10**6, 10**6)
    trainer.compile(groups, optimization.clip_norm, jit_compile=False)
    tokens, masking = random_tokens(config.length, words), random_masking(config.length, words)
    batch = masked_rows(tokens, masking, config.length, batch_size)
    batch = same_work.start(folder, {weight.path: weight for weight in model.weights}, batch)
    logits = model({tensor.name: batch[tensor.name] for tensor in model.inputs}, training=False)
    return fitted(
        trainer,
        masked_batches(tokens, config.length, masking, batch_size, seed=0),
        float(tf.reduce_mean(losses.token_cross_entropy(batch["mask_ids"], logits))),
        model.trainable_variables,
        tokens.ids.nbytes,
    )


def masked_rows(tokens, masking, length, batch_size):
    """Returns a batch for all contenders, in which every place that can be predicted is."""
    batch = next(iter(masked_batches(tokens, length, masking, batch_size, seed=1)))
    batch = {name: np.asarray(value) for name, value in batch.items()}
    rng = np.random.default_rng(1)
    places = np.sort([1 + rng.permutation(length - 2)[: masking.predictions] for _ in range(batch_size)])
    # By chance a row may predict one place less, which the shapes of no other contender's batch would allow.
    batch["mask_positions"] = places.astype(np.int32)
    batch["mask_ids"] = np.take_along_axis(batch["token_ids"], places, axis=1)
    return {name: value for name, value in batch.items() if name != "mask_weights"}


def random_pictures(side, channels):
    """Returns pictures, uint8 (n, side, side, channels)."""
    return np.random.default_rng(0).integers(0, 256, (PICTURES, side, side, channels), np.uint8)


def random_image_set(side, classes):
    """Returns a labelled `ImageSet` of random pictures."""
    labels = np.random.default_rng(1).integers(0, classes, PICTURES).astype(np.int32)
    names = tuple(f"class {number}" for number in range(classes))
    return ImageSet("random", random_pictures(side, 3), "0", labels=labels, classes=names)


def random_tokens(length, words):
    """Returns `Tokens` of a vocabulary of so many words, enough for all rows."""
    ids = np.random.default_rng(0).integers(len(SPECIAL), words, ROWS * (length - 2)).astype(np.uint16)
    return Tokens(ids, ROWS, np.bincount(ids, minlength=words), "0")


def random_masking(length, words):
    """Returns the `Masking` of 15 % of the tokens of a vocabulary of so many words."""
    made_up = tuple(f"word {number}" for number in range(words - len(SPECIAL)))
    return make_masking(Vocabulary((*SPECIAL, *made_up)), length)
