"""Indexes of texts on disk: search by embeddings and by words, and the entities that the texts name."""
