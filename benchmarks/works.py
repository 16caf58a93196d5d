"""What is compared with what: every work, and the programs that do it.

A contender is one process; its `make` imports what it needs when it is called, in that process.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal

from karpa_tf.configs import bert, resnet
from karpa_tf.configs import gan as gan_configs

TORCH, TRANSFORMERS = ("torch",), ("torch", "transformers")

IMPORT_TRANSFORMERS = "import torch; from transformers import BertForMaskedLM"


@dataclasses.dataclass(frozen=True)
class Contender:
    """One program that does a work."""

    make: Callable
    """Takes the folder of the work and the precision, and returns the `contender.Program`."""

    kind: Literal["ours", "published", "precision", "altered", "keras"]
    """karpa_tf; the published program in float32; the same in another precision or layout; a program that was changed
    beyond that; plain Keras."""

    precision: Literal["float32", "bfloat16"] = "float32"
    """Of activations; weights are float32."""

    needs: tuple[str, ...] = ()
    """Modules that not every machine has; without them the contender is left out."""

    quick: bool = True
    """Whether it takes part where there is little time."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What several programs do in turn."""

    title: str
    """For people."""

    unit: Literal["images", "tokens", "batches", "starts"]
    """What is counted; of a batch or a start the time is reported that it takes."""

    per_step: int
    """Units in a step."""

    contenders: dict[str, Contender]
    """By name; the first is karpa_tf's in float32, which draws what all start from."""

    seconds: float = 5.0
    """About how long each runs in a round."""

    quick: bool = True
    """Whether it is done, unless asked for by name, where there is little time."""


def _dcgan(title, config, batch_size):
    def ours(folder, precision):
        from benchmarks.ours.gan import program

        return program(folder, precision, config, batch_size)

    def pytorch(folder, precision, channels_last=False):
        from benchmarks.peers.torch_dcgan import program

        return program(folder, precision, config, batch_size, channels_last)

    def keras_example(folder, precision):
        from benchmarks.peers.keras_dcgan import program

        return program(folder, precision, config, batch_size)

    channels_last = functools.partial(pytorch, channels_last=True)
    contenders = _both(ours) | {
        "PyTorch example": Contender(pytorch, "published", needs=TORCH),
        "PyTorch bfloat16": Contender(pytorch, "precision", "bfloat16", TORCH, quick=False),
        "PyTorch bfloat16, channels last": Contender(channels_last, "precision", "bfloat16", TORCH),
        "Keras example": Contender(keras_example, "keras"),
    }
    return Work(title, "images", batch_size, contenders)


def _resnet(title, config, batch_size=128):
    def ours(folder, precision):
        from benchmarks.ours.classifier import program

        return program(folder, precision, config, batch_size)

    def pytorch(folder, precision, channels_last=False):
        from benchmarks.peers.torch_resnet import program

        return program(folder, precision, config, batch_size, channels_last)

    def plain_keras(folder, precision):
        from benchmarks.peers.keras_resnet import program

        return program(folder, precision, config, batch_size)

    channels_last = functools.partial(pytorch, channels_last=True)
    contenders = _both(ours) | {
        "PyTorch": Contender(pytorch, "published", needs=TORCH),
        "PyTorch channels last": Contender(channels_last, "precision", needs=TORCH, quick=False),
        "PyTorch bfloat16, channels last": Contender(channels_last, "precision", "bfloat16", TORCH),
        "Keras": Contender(plain_keras, "keras"),
    }
    return Work(title, "images", batch_size, contenders)


def _masked_lm(title, words, batch_size=32):
    config = dataclasses.replace(bert.SMALL, num_segments=2)

    def ours(folder, precision):
        from benchmarks.ours.masked_lm import program

        return program(folder, precision, config, batch_size, words)

    def hugging_face(folder, precision, **changes):
        from benchmarks.peers.transformers_bert import program

        return program(folder, precision, config, batch_size, words, **changes)

    def keras_hub(folder, precision):
        from benchmarks.peers.keras_hub_bert import program

        return program(folder, precision, config, batch_size, words)

    gathered = functools.partial(hugging_face, gathered=True)
    same = functools.partial(hugging_face, gathered=True, attention_dropout=False)
    contenders = _both(ours) | {
        "Transformers": Contender(hugging_face, "published", needs=TRANSFORMERS),
        "Transformers bfloat16": Contender(hugging_face, "precision", "bfloat16", TRANSFORMERS),
        "Transformers bfloat16, gathered": Contender(gathered, "altered", "bfloat16", TRANSFORMERS, quick=False),
        "Transformers bfloat16, gathered, no attention dropout": Contender(
            same, "altered", "bfloat16", TRANSFORMERS, quick=False
        ),
        "KerasHub": Contender(keras_hub, "keras", quick=False),
        "KerasHub bfloat16": Contender(keras_hub, "keras", "bfloat16", quick=False),
    }
    return Work(title, "tokens", batch_size * config.max_sequence_length, contenders)


def _both(ours):
    return {f"karpa_tf {precision}": Contender(ours, "ours", precision) for precision in ("float32", "bfloat16")}


def _inputs(title, name, unit, per_step, quick=True):
    def ours(folder, precision):
        from benchmarks.inputs import OURS

        return OURS[name](per_step)

    def per_example(folder, precision):
        from benchmarks.inputs import PER_EXAMPLE

        return PER_EXAMPLE[name](per_step)

    def pytorch(folder, precision):
        from benchmarks.peers.torch_inputs import LOADERS

        return LOADERS[name](per_step)

    contenders = {
        "karpa_tf": Contender(ours, "ours"),
        "PyTorch DataLoader": Contender(pytorch, "published", needs=TORCH),
        "tf.data by example": Contender(per_example, "keras"),
    }
    return Work(title, unit, per_step, contenders, seconds=2.0, quick=quick)


def _inference(title, batch_size, quick=True):
    config = resnet.cifar(20)

    def ours(folder, precision):
        from benchmarks.inference import signature

        return signature(folder, config, batch_size)

    def called(folder, precision):
        from benchmarks.inference import called

        return called(folder, config, batch_size)

    def predict(folder, precision):
        from benchmarks.inference import predict

        return predict(folder, config, batch_size)

    def pytorch(folder, precision):
        from benchmarks.peers.torch_resnet import inference

        return inference(folder, config, batch_size)

    contenders = {
        "karpa_tf export": Contender(ours, "ours"),
        "PyTorch": Contender(pytorch, "published", needs=TORCH),
        "Keras model(x)": Contender(called, "keras"),
        "Keras model.predict": Contender(predict, "keras"),
    }
    return Work(title, "batches", 1, contenders, seconds=2.0, quick=quick)


def _starts():
    def make(folder, precision, command):
        from benchmarks.start_up import program

        return program(command)

    def contender(kind, command, **options):
        return Contender(functools.partial(make, command=command), kind, **options)

    contenders = {
        "karpa_tf --help": contender("ours", ["-m", "apps.train_classifier", "--help"]),
        "karpa_tf to the first step": contender("ours", ["-m", "benchmarks.start_up"]),
        "import keras": contender("keras", ["-c", "import keras"], quick=False),
        "import torch, transformers": contender("published", ["-c", IMPORT_TRANSFORMERS], needs=TRANSFORMERS),
    }
    return Work("Start of a process", "starts", 1, contenders, seconds=1.0)


WORKS = {
    "dcgan_64": _dcgan(
        "DCGAN 64x64, batch 64", dataclasses.replace(gan_configs.PAPER_64, kernel_size=4, init_stddev=None), 64
    ),
    "dcgan_28": _dcgan("DCGAN 28x28, batch 256", gan_configs.TUTORIAL_28, 256),
    "resnet20": _resnet("ResNet-20, 32x32, batch 128", resnet.cifar(20)),
    "resnet18": _resnet("ResNet-18, 32x32, batch 128", resnet.imagenet((2, 2, 2, 2), "basic", stem="3x3")),
    "bert_small_8k": _masked_lm("BERT-small MLM, vocabulary 8,000, batch 32 x 128", 8_000),
    "bert_small_30k": _masked_lm("BERT-small MLM, vocabulary 30,522, batch 32 x 128", 30_522),
    "inputs_labeled": _inputs("Images 32x32 flipped and shifted, batch 128", "labeled", "images", 128),
    "inputs_noise": _inputs("Images 64x64 with noise, batch 64", "noise", "images", 64, quick=False),
    "inputs_masked": _inputs("Masked rows of 128, batch 32", "masked", "tokens", 32 * 128, quick=False),
    "inference_1": _inference("ResNet-20's answer to 1 image", 1),
    "inference_64": _inference("ResNet-20's answer to 64 images", 64, quick=False),
    "start_up": _starts(),
}
