"""Files, signals, the console, seeds and the environment of a process."""
