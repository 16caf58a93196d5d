"""Predictions for images, texts and seeds, from a function of named lists to a dict of arrays; without TensorFlow.

Such a function is a signature of an exported model, in this process or on a server. Strings of its outputs are `bytes`.
"""

import io

import numpy as np
from PIL import Image

from karpa_tf.data.images.files import try_read_file
from karpa_tf.data.text.vocabulary import MASK
from karpa_tf.errors import Refused, UserError
from karpa_tf.system.console import hide_tensorflow_messages, warn
from karpa_tf.system.text_files import read_lines

BATCH_SIZE = 64

IMAGES = ("image classifier", ["image_bytes"], ["classes", "scores"])
TEXTS = ("text classifier", ["text"], ["classes", "scores"])
MASKED_TEXTS = ("masked language model", ["text"], ["tokens", "scores", "positions"])
TEXT_PAIRS = ("classifier of pairs of texts", ["text", "text_pair"], ["classes", "scores"])
TEXT_VALUES = ("regressor of texts", ["text"], ["values"])
PAIR_VALUES = ("regressor of pairs of texts", ["text", "text_pair"], ["values"])
SPANS = ("token classifier", ["text"], ["starts", "ends", "types", "scores"])
EMBEDDINGS = ("embedder of texts", ["text"], ["embedding"])
SEEDS = ("generator of images", ["seed"], ["image_bytes"])
NOISE = ("generator of images", ["noise"], ["images"])
"""Kinds of models, with the inputs and outputs of their signatures: arguments of `serving.client.Client.function`."""


def classify_files(predict, files, top):
    """Yields for every image file its name and a list of (class, probability), the best first.

    The files are sent one by one: a file that the model refuses makes its whole batch fail.

    Args:
        predict: function of `image_bytes` to `classes` and `scores`.
        files: list of paths; files that cannot be read or are `Refused` are skipped with a warning.
        top: number of classes.
    """
    classified = 0
    for file in files:
        content, reason = try_read_file(file)
        try:
            best = _rank_classes(predict(image_bytes=[content]), top) if content else []
        except Refused as refused:
            best, reason = [], f"{file}: {refused}"
        if not best:
            warn(reason)
            continue
        classified += 1
        yield str(file), best[0]
    if not classified:
        raise UserError("None of the images can be classified.")


def read_texts(config):
    """Returns the texts of a `TextSource` and the second texts, lists of strings, the latter empty if there are none.

    Raises:
        UserError: there are no texts, or not as many second texts.
    """
    if config.file == config.pair_file == "-":
        raise UserError("Standard input can be --file or --pair-file, not both.")
    has_pairs = bool(config.text_pair or config.pair_file is not None)
    texts = [*config.text, *(read_lines(config.file, keep_blank=has_pairs) if config.file else [])]
    if not has_pairs:
        return _check_texts(texts), []
    pairs = [*config.text_pair, *(read_lines(config.pair_file, "--pair-file", True) if config.pair_file else [])]
    if len(pairs) != len(texts):
        raise UserError(f"There are {len(texts):,} texts and {len(pairs):,} second texts; give one for each.")
    return _check_texts(texts), _check_texts(pairs)


def classify_texts(predict, texts, top, pairs=()):
    """Yields every text, with its second text after a tab, and a list of (class, probability), the best first.

    Args:
        predict: function of `text`, and `text_pair`, to `classes` and `scores`.
        texts: list of strings.
        top: number of classes.
        pairs: list of as many second texts, or none.
    """
    for batch in _make_text_batches(texts, pairs):
        names = ["\t".join(row) for row in zip(*batch.values(), strict=True)]
        yield from zip(names, _rank_classes(predict(**batch), top), strict=True)


def rate_texts(predict, texts, pairs=()):
    """Yields every text, its second text if it has one, and the number for it.

    Args:
        predict: function of `text`, and `text_pair`, to `values`.
        texts: list of strings.
        pairs: list of as many second texts, or none.
    """
    for batch in _make_text_batches(texts, pairs):
        yield from zip(*batch.values(), map(float, predict(**batch)["values"]), strict=True)


def tag_texts(predict, texts):
    """Yields every text and its spans, a list of (start, end, type, score) in order; ends count characters.

    Args:
        predict: function of `text` to the outputs of `make_tagger_export`.
        texts: list of strings.
    """
    for batch in _make_batches(_check_texts(texts)):
        outputs = predict(text=batch)
        for text, *row in zip(batch, *(outputs[name] for name in SPANS[2]), strict=True):
            spans = zip(*row, strict=True)
            yield text, [(int(s), int(e), name.decode(), float(score)) for s, e, name, score in spans if s >= 0]


def embed_texts(predict, texts):
    """Yields the embeddings of batches of texts, float32 (batch, hidden_dim), of unit length.

    Args:
        predict: function of `text` to `embedding`.
        texts: list of strings.
    """
    for batch in _make_batches(_check_texts(texts)):
        yield np.asarray(predict(text=batch)["embedding"], np.float32)


def fill_masks(predict, texts, top):
    """Yields every text and the words for each mask, lists of (word, probability), the most probable first.

    Args:
        predict: function of `text` to `tokens`, `scores` and `positions`, see `make_masked_lm_export`.
        texts: list of strings from `require_masks`.
        top: number of words.
    """
    for batch in _make_batches(texts):
        outputs = predict(text=batch)
        for text, *row in zip(batch, *(outputs[name] for name in ("tokens", "scores", "positions")), strict=True):
            words = [
                [(token.decode(), float(score)) for token, score in zip(tokens[:top], scores[:top], strict=True)]
                for tokens, scores, position in zip(*row, strict=True)
                if position >= 0
            ]
            if len(words) < text.count(MASK):
                warn(f"Only the first {len(words)} masks of {text!r:.60} are within the model's sequence length.")
            yield text, words


def require_masks(texts):
    """Returns the texts with a [MASK], and warns of those without; raises `UserError` if no text has one."""
    messages = [
        f"There is no [MASK] in {text!r:.60}; write one for every word to predict."
        for text in _check_texts(texts)
        if MASK not in text
    ]
    if len(messages) == len(texts):
        raise UserError(messages[0])
    for message in messages:
        warn(message)
    return [text for text in texts if MASK in text]


def format_filled(text, masks):
    """Returns a text with the best word for each mask, followed by a line of words and probabilities per mask."""
    parts = text.split(MASK)
    filled = parts[0] + "".join(words[0][0] + part for words, part in zip(masks, parts[1:], strict=False))
    lines = [MASK.join([filled, *parts[len(masks) + 1 :]])]
    for number, words in enumerate(masks, 1):
        label = f"  {number}: " if len(parts) > 2 else "  "
        lines.append(label + "  ".join(f"{word} {probability:.1%}" for word, probability in words))
    return "\n".join(lines)


def draw_images(client, seed, count, label=None):
    """Returns generated images, uint8 (count, height, width, channels); image i is that of `seed` + i.

    Args:
        client: a `serving.client.Client`.
        seed: an integer.
        count: number of images.
        label: index of the class to draw, if the model is conditional.

    Raises:
        UserError: the model is no generator, or it has classes and there is no label, or the other way round.
    """
    predict = _find_generator(client, SEEDS, label)
    files = []
    for batch in _make_batches(range(seed, seed + count)):
        files.extend(predict(seed=list(batch), **_repeat(label, len(batch)))["image_bytes"])
    images = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
    return images if images.ndim == 4 else images[..., None]


def interpolate_images(client, seed, count, label=None):
    """Returns images between those of `seed` and of `seed` + 1, as `draw_images` does; imports TensorFlow for noise."""
    predict = _find_generator(client, NOISE, label)
    hide_tensorflow_messages()
    from karpa_tf.models.sampling import interpolate_seeds

    latent_dim = client.signatures[predict.args[0]].inputs["noise"][-1]
    return predict(noise=interpolate_seeds(seed, latent_dim, count).numpy(), **_repeat(label, count))["images"]


def _find_generator(client, kind, label):
    name, inputs, outputs = kind
    has_classes = any("labels" in signature.inputs for signature in client.signatures.values())
    if has_classes and label is None:
        raise UserError(f"{client.model} draws classes, whose names a server does not tell; give --label and an index.")
    if label is not None and not has_classes and client.signatures:
        raise UserError(f"--label needs a conditional GAN; {client.model} was trained without classes.")
    return client.function(name, inputs if label is None else [*inputs, "labels"], outputs)


def _repeat(label, count):
    return {} if label is None else {"labels": [label] * count}


def _rank_classes(outputs, top):
    """Returns for every row the `top` most probable classes, a list of (class, probability)."""
    return [
        [(names[index].decode(), float(row[index])) for index in np.argsort(-row, kind="stable")[:top]]
        for names, row in zip(outputs["classes"], outputs["scores"], strict=True)
    ]


def _check_texts(texts):
    """Returns the texts; raises `UserError` if there are none, or one has bytes that are not UTF-8."""
    if not texts:
        raise UserError("There are no texts.")
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:  # bytes of a command line
            raise UserError(f"The text {text!r:.60} is not UTF-8.") from None
    return texts


def _make_text_batches(texts, pairs):
    """Yields dicts of `text`, and `text_pair` if there are pairs, lists of at most `BATCH_SIZE` strings."""
    for start in range(0, len(texts), BATCH_SIZE):
        columns = {"text": texts, "text_pair": pairs} if pairs else {"text": texts}
        yield {name: column[start : start + BATCH_SIZE] for name, column in columns.items()}


def _make_batches(items):
    return (items[start : start + BATCH_SIZE] for start in range(0, len(items), BATCH_SIZE))
