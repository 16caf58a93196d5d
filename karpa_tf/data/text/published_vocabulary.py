"""The vocabulary of a BERT in a folder of Hugging Face: tokenizer.json, or vocab.txt with tokenizer_config.json."""

import json
from pathlib import Path

from karpa_tf.data.text.vocabulary import CONTINUATION, MAX_WORD_LENGTH, UNK, is_lowercase, split_tokens
from karpa_tf.errors import UserError

_EXPECTED = {
    "model": {
        "type": "WordPiece",
        "unk_token": UNK,
        "continuing_subword_prefix": CONTINUATION,
        "max_input_chars_per_word": MAX_WORD_LENGTH,
    },
    "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True},
    "pre_tokenizer": {"type": "BertPreTokenizer"},
}
"""What tokenizer.json of a BERT says, and what `Vocabulary.make_tokenizer` does."""


def read_tokens(folder):
    """Returns tokens in the order of their ids, and whether text is converted to lowercase and loses accents.

    Raises:
        UserError: the files are missing or damaged, or the tokenizer is another one than BERT's.
    """
    folder = Path(folder)
    try:
        if (folder / "tokenizer.json").exists():
            return _read_tokenizer(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")))
        if not (folder / "vocab.txt").exists():
            raise UserError("there is neither tokenizer.json nor vocab.txt")
        file = folder / "tokenizer_config.json"
        settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if not settings.get("tokenize_chinese_chars", True):
            raise UserError("tokenize_chinese_chars is false in tokenizer_config.json, which is not supported")
        tokens = split_tokens((folder / "vocab.txt").read_text(encoding="utf-8"))
        return tokens, *_resolve(settings.get("do_lower_case", is_lowercase(tokens)), settings.get("strip_accents"))
    except UserError as error:
        raise UserError(f"--init {folder}: {error}.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"--init {folder}: its tokenizer cannot be read: {error!r}.") from error


def _read_tokenizer(content):
    for part, expected in _EXPECTED.items():
        found = content.get(part) or {}
        for name, value in expected.items():
            if found.get(name, None if name == "type" else value) != value:
                raise UserError(f"{part}.{name} is {found.get(name)} in tokenizer.json; expected {value}, as BERT has")
    ids, normalizer = content["model"]["vocab"], content["normalizer"]
    tokens = sorted(ids, key=ids.get)
    if sorted(ids.values()) != list(range(len(ids))):
        raise UserError("the ids in tokenizer.json have gaps")
    added = [token["content"] for token in content.get("added_tokens", ()) if token["content"] not in ids]
    if added:
        raise UserError(
            f"tokenizer.json has tokens that were added to the vocabulary, {added[0]}, which is not supported"
        )
    return tokens, *_resolve(normalizer["lowercase"], normalizer.get("strip_accents"))


def _resolve(lowercase, strip_accents):
    return lowercase, lowercase if strip_accents is None else strip_accents
