"""Everything around `fit`."""
