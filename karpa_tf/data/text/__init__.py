"""Text: from files to tokens, masks and batches."""
