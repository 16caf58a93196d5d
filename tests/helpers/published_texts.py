"""A small vocabulary with its special tokens where published BERTs have them, and texts for it."""

LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("the", "cat", "mat", "Cat", "The", "café", "is", "on", "sits", "black", "white", "snow", "coal", "good", "bad")
TOKENS = (
    *("[PAD]", "[unused0]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "!", "日", "本"),
    *WORDS,
    *LETTERS,
    *(f"##{letter}" for letter in LETTERS),
    "##ing",
)

TEXTS = ["the cat is on the mat, sitting.", "The Café is good!", "日本 snow", "Ünknown ☂ words", ""]
