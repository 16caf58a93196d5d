"""Signatures per task, and the writing of versions that TF Serving can pick up."""
