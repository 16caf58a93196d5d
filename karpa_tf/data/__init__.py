"""Image sets by name or folder, prepared once and read in a seeded order."""
