"""Strategies, clusters, and what workers exchange."""
