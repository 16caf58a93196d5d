"""Files, signals, the console: what surrounds a program on its machine."""
