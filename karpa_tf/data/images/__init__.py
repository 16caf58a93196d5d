"""Image data sets: loading, decoding, caching, splitting, augmentation and batches."""
