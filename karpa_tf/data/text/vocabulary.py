"""A WordPiece vocabulary: learned from text, kept as a text file with one token in a line."""

import dataclasses
import json
from pathlib import Path

from karpa_tf.errors import UserError
from karpa_tf.system.files import write_text

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""Tokens that stand for no text; the first of every vocabulary, in this order."""

LONGEST_WORD = 100
"""Characters; a longer word is one [UNK]."""

CONTINUATION = "##"
"""Before every piece of a word but its first."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Tokens, and how text is brought to the form that they are looked up in."""

    tokens: tuple[str, ...]
    """The token of every id."""

    lowercase: bool = True
    """Lower-case all letters."""

    strip_accents: bool = True
    """Take combining marks off their letters."""

    def __post_init__(self):
        if self.tokens[: len(SPECIAL)] != SPECIAL:
            raise UserError(f"A vocabulary begins with {' '.join(SPECIAL)}; this one with {' '.join(self.tokens[:5])}.")
        if len(set(self.tokens)) < len(self.tokens):
            twice = next(token for place, token in enumerate(self.tokens) if token in self.tokens[:place])
            raise UserError(f"The vocabulary holds {twice} twice.")

    def __len__(self):
        return len(self.tokens)

    def save(self, path):
        """Writes the tokens to `path`, and the settings beside it, to the same name ending in .json."""
        path = Path(path)
        write_text(path, "".join(f"{token}\n" for token in self.tokens))
        settings = {"lowercase": self.lowercase, "strip_accents": self.strip_accents}
        write_text(path.with_suffix(".json"), json.dumps(settings) + "\n")

    def tokenizer(self):
        """Returns the same as a tokenizer of the `tokenizers` package, which is fast on many texts at once.

        It knows no special tokens in text: a written [MASK] is three pieces, or unknown.
        """
        from tokenizers import Tokenizer, models

        words = models.WordPiece(
            {token: place for place, token in enumerate(self.tokens)},
            unk_token=UNK,
            max_input_chars_per_word=LONGEST_WORD,
            continuing_subword_prefix=CONTINUATION,
        )
        tokenizer = Tokenizer(words)
        tokenizer.normalizer, tokenizer.pre_tokenizer = rules(self.lowercase, self.strip_accents)
        return tokenizer


def rules(lowercase, strip_accents):
    """Returns BERT's normalizer and its splitter into words, of the `tokenizers` package."""
    from tokenizers import normalizers, pre_tokenizers

    normalizer = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=True, strip_accents=strip_accents, lowercase=lowercase
    )
    return normalizer, pre_tokenizers.BertPreTokenizer()


def train_vocabulary(texts, size, lowercase=True, strip_accents=True, min_frequency=2):
    """Returns the `Vocabulary` that WordPiece learns (Wu et al. 2016, section 4.1, by the `tokenizers` package).

    Same texts, same vocabulary: of equally frequent pairs the package joins the one whose pieces came first, so the
    continuing characters are given to it in order; left to itself it takes them as a hash map has them.

    Args:
        texts: strings; gone through twice, so no iterator that is used up.
        size: number of tokens, the special ones included.
        lowercase: as in `Vocabulary`.
        strip_accents: as in `Vocabulary`.
        min_frequency: pairs that come more seldom are not joined.

    Raises:
        UserError: the text does not hold so many tokens.
    """
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer, tokenizer.pre_tokenizer = rules(lowercase, strip_accents)
    words = {word for text in texts for word, _ in _split(tokenizer, text)}
    inner = sorted({letter for word in words for letter in word[1:]})
    trainer = trainers.WordPieceTrainer(
        vocab_size=size,
        min_frequency=min_frequency,
        special_tokens=[*SPECIAL, *(CONTINUATION + letter for letter in inner)],
        continuing_subword_prefix=CONTINUATION,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    places = tokenizer.get_vocab()
    tokens = tuple(sorted(places, key=places.get))
    if len(tokens) < size:
        raise UserError(
            f"The text holds {len(tokens)} tokens only; choose --vocabulary-size {len(tokens)} or less, or more text."
        )
    return Vocabulary(tokens, lowercase, strip_accents)


def _split(tokenizer, text):
    return tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))


def load(path):
    """Returns the `Vocabulary` that was saved to `path`; raises `UserError` where there is none."""
    path = Path(path)
    try:
        tokens = tuple(path.read_text(encoding="utf-8").split("\n")[:-1])
        settings = json.loads(path.with_suffix(".json").read_text())
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UserError(f"The vocabulary {path} cannot be read: {error}.") from error
    return Vocabulary(tokens, **settings)
