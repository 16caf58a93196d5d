"""Frozen dataclasses that say what to build and how to run it; standard library only."""
