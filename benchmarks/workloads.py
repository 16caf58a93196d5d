"""All workloads, and the contenders that run each of them.

A contender imports what it needs in `make`, which is called in its own process only.
"""

import dataclasses
import functools

from benchmarks.program import Contender, Workload
from karpa_tf.configs import bert, dcgan, gan_presets, resnet
from karpa_tf.errors import UserError, nearest

TORCH, TRANSFORMERS = ("torch",), ("torch", "transformers")

IMPORT_TRANSFORMERS = "import torch; from transformers import BertForMaskedLM"


def select_workloads(prefixes, quick=False):
    """Returns the names of the workloads that begin with a prefix; without prefixes all, or all for quick runs.

    Raises:
        UserError: no workload begins with one of the prefixes.
    """
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in WORKLOADS):
            raise UserError(
                f"There is no workload {prefix!r}{nearest(prefix, WORKLOADS)} Workloads are {', '.join(WORKLOADS)}."
            )
    if prefixes:
        return [name for name in WORKLOADS if name.startswith(tuple(prefixes))]
    return [name for name in WORKLOADS if WORKLOADS[name].quick or not quick]


def _dcgan(title, config, batch_size):
    def ours(folder, precision):
        from benchmarks.ours.gan import make_program

        return make_program(folder, precision, config, batch_size)

    def pytorch(folder, precision, channels_last=False):
        from benchmarks.peers.torch_dcgan import make_program

        return make_program(folder, precision, config, batch_size, channels_last)

    def keras_example(folder, precision):
        from benchmarks.peers.keras_dcgan import make_program

        return make_program(folder, precision, config, batch_size)

    channels_last = functools.partial(pytorch, channels_last=True)
    contenders = _in_both_precisions(ours) | {
        "PyTorch example": Contender(pytorch, "published", needs=TORCH),
        "PyTorch bfloat16": Contender(pytorch, "precision", "bfloat16", TORCH, quick=False),
        "PyTorch bfloat16, channels last": Contender(channels_last, "precision", "bfloat16", TORCH),
        "Keras example": Contender(keras_example, "keras"),
    }
    return Workload(title, "images", batch_size, contenders)


def _residual_gan(title, preset):
    model = dataclasses.replace(preset.model, filters=(64, 64, 64), discriminator_filters=(64, 64, 64, 64))
    config = dataclasses.replace(preset, model=model, batch_size=64, ema=0.0, linear_decay=False)

    def ours(folder, precision):
        from benchmarks.ours.residual_gan import make_program

        return make_program(folder, precision, config)

    def pytorch(folder, precision, channels_last=False):
        from benchmarks.peers.torch_residual_gan import make_program

        return make_program(folder, precision, config, channels_last)

    channels_last = functools.partial(pytorch, channels_last=True)
    contenders = _in_both_precisions(ours) | {
        "PyTorch": Contender(pytorch, "published", needs=TORCH),
        "PyTorch channels last": Contender(channels_last, "precision", needs=TORCH, quick=False),
        "PyTorch bfloat16": Contender(pytorch, "precision", "bfloat16", TORCH, quick=False),
        "PyTorch bfloat16, channels last": Contender(channels_last, "precision", "bfloat16", TORCH),
    }
    return Workload(title, "images", config.images_per_step, contenders, quick=False)


def _resnet(title, config, batch_size=128):
    def ours(folder, precision):
        from benchmarks.ours.classifier import make_program

        return make_program(folder, precision, config, batch_size)

    def pytorch(folder, precision, channels_last=False):
        from benchmarks.peers.torch_resnet import make_program

        return make_program(folder, precision, config, batch_size, channels_last)

    def plain_keras(folder, precision):
        from benchmarks.peers.keras_resnet import make_program

        return make_program(folder, precision, config, batch_size)

    channels_last = functools.partial(pytorch, channels_last=True)
    contenders = _in_both_precisions(ours) | {
        "PyTorch": Contender(pytorch, "published", needs=TORCH),
        "PyTorch channels last": Contender(channels_last, "precision", needs=TORCH, quick=False),
        "PyTorch bfloat16, channels last": Contender(channels_last, "precision", "bfloat16", TORCH),
        "Keras": Contender(plain_keras, "keras"),
    }
    return Workload(title, "images", batch_size, contenders)


def _masked_lm(title, vocabulary_size, batch_size=32):
    config = dataclasses.replace(bert.SMALL, num_segments=2)

    def ours(folder, precision):
        from benchmarks.ours.masked_lm import make_program

        return make_program(folder, precision, config, batch_size, vocabulary_size)

    def hugging_face(folder, precision, **changes):
        from benchmarks.peers.transformers_bert import make_program

        return make_program(folder, precision, config, batch_size, vocabulary_size, **changes)

    def keras_hub(folder, precision):
        from benchmarks.peers.keras_hub_bert import make_program

        return make_program(folder, precision, config, batch_size, vocabulary_size)

    gathered = functools.partial(hugging_face, gathered=True)
    same = functools.partial(hugging_face, gathered=True, attention_dropout=False)
    contenders = _in_both_precisions(ours) | {
        "Transformers": Contender(hugging_face, "published", needs=TRANSFORMERS),
        "Transformers bfloat16": Contender(hugging_face, "precision", "bfloat16", TRANSFORMERS),
        "Transformers bfloat16, gathered": Contender(gathered, "altered", "bfloat16", TRANSFORMERS, quick=False),
        "Transformers bfloat16, gathered, no attention dropout": Contender(
            same, "altered", "bfloat16", TRANSFORMERS, quick=False
        ),
        "KerasHub": Contender(keras_hub, "keras", quick=False),
        "KerasHub bfloat16": Contender(keras_hub, "keras", "bfloat16", quick=False),
    }
    return Workload(title, "tokens", batch_size * config.max_sequence_length, contenders)


def _tagger(title, vocabulary_size, batch_size=32):
    config = dataclasses.replace(bert.SMALL, num_segments=2)

    def ours(folder, precision):
        from benchmarks.ours.tagger import make_program

        return make_program(folder, precision, config, batch_size, vocabulary_size)

    def hugging_face(folder, precision, **changes):
        from benchmarks.peers.transformers_tagger import make_program

        return make_program(folder, precision, config, batch_size, vocabulary_size, **changes)

    by_length = functools.partial(hugging_face, by_length=True)
    same = functools.partial(hugging_face, by_length=True, attention_dropout=False)
    contenders = _in_both_precisions(ours) | {
        "Transformers": Contender(hugging_face, "published", needs=TRANSFORMERS),
        "Transformers bfloat16": Contender(hugging_face, "precision", "bfloat16", TRANSFORMERS),
        "Transformers bfloat16, grouped by length": Contender(by_length, "altered", "bfloat16", TRANSFORMERS),
        "Transformers bfloat16, grouped by length, no attention dropout": Contender(
            same, "altered", "bfloat16", TRANSFORMERS
        ),
    }
    return Workload(title, "sentences", batch_size, contenders, seconds=10.0, quick=False)


def _in_both_precisions(ours):
    return {f"karpa_tf {precision}": Contender(ours, "ours", precision) for precision in ("float32", "bfloat16")}


def _inputs(title, name, unit, units_per_step, quick=True):
    def ours(folder, precision):
        from benchmarks.inputs import OURS

        return OURS[name](units_per_step)

    def per_example(folder, precision):
        from benchmarks.inputs import PER_EXAMPLE

        return PER_EXAMPLE[name](units_per_step)

    def pytorch(folder, precision):
        from benchmarks.peers.torch_inputs import LOADERS

        return LOADERS[name](units_per_step)

    contenders = {
        "karpa_tf": Contender(ours, "ours"),
        "PyTorch DataLoader": Contender(pytorch, "published", needs=TORCH),
        "tf.data per example": Contender(per_example, "keras"),
    }
    return Workload(title, unit, units_per_step, contenders, seconds=2.0, quick=quick)


def _inference(title, batch_size, quick=True):
    config = resnet.cifar(20)

    def ours(folder, precision):
        from benchmarks.inference import make_export_program

        return make_export_program(folder, config, batch_size)

    def call(folder, precision):
        from benchmarks.inference import make_call_program

        return make_call_program(folder, config, batch_size)

    def predict(folder, precision):
        from benchmarks.inference import make_predict_program

        return make_predict_program(folder, config, batch_size)

    def pytorch(folder, precision):
        from benchmarks.peers.torch_resnet import make_inference_program

        return make_inference_program(folder, config, batch_size)

    contenders = {
        "karpa_tf export": Contender(ours, "ours"),
        "PyTorch": Contender(pytorch, "published", needs=TORCH),
        "Keras model(x)": Contender(call, "keras"),
        "Keras model.predict": Contender(predict, "keras"),
    }
    return Workload(title, "batches", 1, contenders, seconds=2.0, quick=quick)


def _start_up():
    def make(folder, precision, arguments):
        from benchmarks.start_up import make_program

        return make_program(arguments)

    def contender(kind, *arguments, **options):
        return Contender(functools.partial(make, arguments=arguments), kind, **options)

    contenders = {
        "karpa_tf --help": contender("ours", "-m", "apps.train_classifier", "--help"),
        "karpa_tf to the first step": contender("ours", "-m", "benchmarks.start_up"),
        "import keras": contender("keras", "-c", "import keras", quick=False),
        "import torch, transformers": contender("published", "-c", IMPORT_TRANSFORMERS, needs=TRANSFORMERS),
    }
    return Workload("Process start-up", "starts", 1, contenders, seconds=1.0)


WORKLOADS = {
    "dcgan_64": _dcgan(
        "DCGAN 64x64, batch 64", dataclasses.replace(dcgan.PAPER_64, kernel_size=4, init_stddev=None), 64
    ),
    "dcgan_28": _dcgan("DCGAN 28x28, batch 256", dcgan.TUTORIAL_28, 256),
    "wgan_gp": _residual_gan("WGAN-GP 32x32, batch 5 x 64", gan_presets.PRESETS["wgan_gp"]),
    "sagan": _residual_gan("SAGAN 32x32, batch 64", gan_presets.PRESETS["sagan"]),
    "resnet20": _resnet("ResNet-20, 32x32, batch 128", resnet.cifar(20)),
    "resnet18": _resnet("ResNet-18, 32x32, batch 128", resnet.imagenet((2, 2, 2, 2), "basic", stem="3x3")),
    "bert_small_8k": _masked_lm("BERT-small MLM, vocabulary 8,000, batch 32 x 128", 8_000),
    "bert_small_30k": _masked_lm("BERT-small MLM, vocabulary 30,522, batch 32 x 128", 30_522),
    "tagger": _tagger("BERT-small token classification, sentences as long as CoNLL-2003's, batch 32", 8_000),
    "inputs_labeled": _inputs("Input pipeline: 32x32 images, flips and shifts, batch 128", "labeled", "images", 128),
    "inputs_noise": _inputs("Input pipeline: 64x64 images and noise, batch 64", "noise", "images", 64, quick=False),
    "inputs_masked": _inputs(
        "Input pipeline: masked tokens, batch 32 x 128", "masked", "tokens", 32 * 128, quick=False
    ),
    "inference_1": _inference("ResNet-20 inference, batch 1", 1),
    "inference_64": _inference("ResNet-20 inference, batch 64", 64, quick=False),
    "start_up": _start_up(),
}
