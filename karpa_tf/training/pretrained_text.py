"""Pretrained language models to start from, of a run or published ones."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from karpa_tf.configs.bert import BERTConfig
from karpa_tf.data.text.published_vocabulary import read_tokens
from karpa_tf.data.text.vocabulary import Vocabulary, order_tokens
from karpa_tf.errors import UserError
from karpa_tf.models import bert, hugging_face, keras_hub_presets
from karpa_tf.training.optimizers import is_hidden_matrix
from karpa_tf.training.precision import policy_scope
from karpa_tf.training.run import describe_init


@dataclasses.dataclass(frozen=True)
class PretrainedText:
    """The model that `--init` names, which is loaded when it is needed."""

    init: str
    """What `--init` says."""

    network: BERTConfig
    """Its sizes."""

    vocabulary: Vocabulary
    """Its vocabulary."""

    load: Callable[[], tuple[keras.Model, bool]]
    """Returns the model, in float32, of `bert.make_masked_lm` or `bert.make_pretraining`, and whether the layers of
    `bert.HEAD` are pretrained too."""

    weights_files: tuple[Path, ...] = ()
    """The files of its weights if it is no run."""

    def metadata(self):
        """Returns what `run.json` says about it, a dict, as `describe_init` does."""
        return describe_init(self.init, *self.weights_files)


def open_published(init):
    """Returns the `PretrainedText` of a folder of Hugging Face or KerasHub, or of the name of a KerasHub preset.

    Raises:
        UserError: there is no such model, or it is of another kind.
    """
    if Path(init).is_dir() and not keras_hub_presets.is_preset(init):
        published = hugging_face.open_folder(init)
        own_tokens, lowercase, strip_accents = read_tokens(init)
    else:
        published, tokenizer = keras_hub_presets.open_preset(init)
        own_tokens = tokenizer.get_vocabulary()
        lowercase, strip_accents = tokenizer.lowercase, tokenizer.strip_accents
    vocabulary = Vocabulary(order_tokens(own_tokens, init), lowercase, strip_accents)
    rows = {token: row for row, token in enumerate(own_tokens)}

    def load():
        with policy_scope("float32"):
            model = bert.make_masked_lm(published.config, bert.make_encoder(published.config, len(vocabulary)))
        return model, published.assign(model, [rows[token] for token in vocabulary.tokens])

    return PretrainedText(init, published.config, vocabulary, load, published.weights_files)


def require_norms_of_muon(layers, init):
    """Raises `UserError` if the first step of `Muon` would rescale weights, which come from `init`.

    Args:
        layers: Keras layers with those weights.
        init: what --init says.
    """
    for variable in (variable for layer in layers for variable in layer.trainable_variables):
        norm = np.linalg.norm(variable) / np.sqrt(variable.shape[-1])
        if is_hidden_matrix(variable) and not 0.9 < norm < 1.1:
            raise UserError(
                f"--optimizer muon would rescale the weights of --init {init}, which have other norms; use "
                "the preset adapt, or another --optimizer and --learning-rate."
            )
