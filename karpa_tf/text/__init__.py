"""Text to numbers: vocabularies, a tokenizer of TensorFlow ops, masks."""
