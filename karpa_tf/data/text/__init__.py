"""Text data: corpora, vocabularies, tokenization, masking and batches."""
