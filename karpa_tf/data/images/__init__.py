"""Images: from files and data sets to batches."""
