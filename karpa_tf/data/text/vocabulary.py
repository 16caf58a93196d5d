"""WordPiece vocabularies: trained on text, stored as a text file with one token per line."""

import dataclasses
import json
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.system.files import write_text

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The first tokens of every vocabulary, in this order."""

MAX_WORD_LENGTH = 100
"""In characters; a longer word becomes [UNK]."""

CONTINUATION = "##"
"""Prefix of every token of a word except the first."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens, and how text is normalized before it is split into them."""

    tokens: tuple[str, ...]
    """Tokens in the order of their ids."""

    lowercase: bool = True
    """Convert text to lowercase."""

    strip_accents: bool = True
    """Remove combining marks from letters."""

    def __post_init__(self):
        if self.tokens[: len(SPECIAL)] != SPECIAL:
            raise UserError(f"A vocabulary starts with {' '.join(SPECIAL)}; this one with {' '.join(self.tokens[:5])}.")
        if len(set(self.tokens)) < len(self.tokens):
            duplicate = next(token for index, token in enumerate(self.tokens) if token in self.tokens[:index])
            raise UserError(f"The vocabulary has {duplicate} twice.")

    def __len__(self):
        return len(self.tokens)

    def save(self, path):
        """Writes the tokens to `path`, and the settings to the same name ending in .json."""
        path = Path(path)
        settings = {"lowercase": self.lowercase, "strip_accents": self.strip_accents}
        write_text(path.with_suffix(".json"), json.dumps(settings) + "\n")
        write_text(path, "".join(f"{token}\n" for token in self.tokens))  # last: `load` can do without settings

    def make_tokenizer(self):
        """Returns the tokenizer of the `tokenizers` package, which is fast for many texts.

        Special tokens are not recognized in text: [MASK] is split like any other text.
        """
        from tokenizers import Tokenizer, models

        model = models.WordPiece(
            {token: index for index, token in enumerate(self.tokens)},
            unk_token=UNK,
            max_input_chars_per_word=MAX_WORD_LENGTH,
            continuing_subword_prefix=CONTINUATION,
        )
        tokenizer = Tokenizer(model)
        tokenizer.normalizer, tokenizer.pre_tokenizer = make_normalizer_and_splitter(self.lowercase, self.strip_accents)
        return tokenizer


def make_normalizer_and_splitter(lowercase, strip_accents):
    """Returns BERT's normalizer and word splitter from the `tokenizers` package."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=lowercase
    )
    return normalizer, pre_tokenizers.BertPreTokenizer()


def train_vocabulary(texts, size, lowercase=True, strip_accents=True, min_frequency=2):
    """Returns a `Vocabulary` trained with WordPiece (Wu et al. 2016, section 4.1) by the `tokenizers` package.

    The result is deterministic: of equally frequent pairs the package merges the one with the lowest ids, so the
    continuing characters are passed to it in order; by default their order is that of a hash map.

    Args:
        texts: iterable of strings, not an iterator: it is iterated twice.
        size: number of tokens, including the special ones.
        lowercase: as in `Vocabulary`.
        strip_accents: as in `Vocabulary`.
        min_frequency: minimum number of occurrences of a pair to be merged.

    Raises:
        UserError: the text has fewer than `size` tokens.
    """
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer, tokenizer.pre_tokenizer = make_normalizer_and_splitter(lowercase, strip_accents)
    words = {word for text in texts for word, _ in _split_words(tokenizer, text)}
    inner = sorted({letter for word in words for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL, *(CONTINUATION + letter for letter in inner)],
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    ids = tokenizer.get_vocab()
    tokens = tuple(sorted(ids, key=ids.get))
    if len(tokens) < size:
        raise UserError(
            f"The text has only {len(tokens)} tokens; choose --vocabulary-size {len(tokens)} or less, or use more text."
        )
    return Vocabulary(tokens, lowercase, strip_accents)


def _split_words(tokenizer, text):
    return tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))


def load(path):
    """Returns the `Vocabulary` of a file with one token per line, such as the `vocab.txt` of a BERT model.

    Special tokens in other lines are moved to the beginning. Without the file of settings that `Vocabulary.save`
    writes, text is converted to lowercase unless the vocabulary has capital letters.

    Raises:
        UserError: the file cannot be read, or is no vocabulary.
    """
    path = Path(path)
    settings_file = path.with_suffix(".json")
    try:
        tokens = split_tokens(path.read_text("utf-8"))
        settings = json.loads(settings_file.read_text()) if settings_file.exists() else None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"The vocabulary {path} cannot be read: {error}.") from error
    tokens = order_tokens(tokens, path)
    if settings is None:
        is_lower = is_lowercase(tokens)
        settings = {"lowercase": is_lower, "strip_accents": is_lower}
    return Vocabulary(tokens, **settings)


def order_tokens(tokens, source):
    """Returns tokens, a tuple, with the special ones first, as `Vocabulary` has them.

    Raises:
        UserError: a special token is missing; the message names the `source`.
    """
    missing = [token for token in SPECIAL if token not in tokens]
    if missing:
        raise UserError(
            f"The vocabulary {source} has no {missing[0]}; expected one token per line, {' '.join(SPECIAL)} among them."
        )
    return (*SPECIAL, *(token for token in tokens if token not in SPECIAL))


def split_tokens(text):
    """Returns the lines of a vocabulary file; a token may be any character but a line feed."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def is_lowercase(tokens):
    """Returns whether no token but special ones has a capital letter."""
    return not any(token != token.lower() for token in tokens if not token.startswith("["))
