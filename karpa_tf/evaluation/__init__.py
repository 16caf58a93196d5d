"""Reports on finished models."""
