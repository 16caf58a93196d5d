"""The project's own source files."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]


FILES = sorted([*ROOT.glob("apps/**/*.py"), *ROOT.glob("karpa_tf/**/*.py")])


PLACES = [str(file.relative_to(ROOT)) for file in FILES]


def room_of(module):
    """karpa_tf.data.images.cache is in the room data, apps.train_gan in apps; None for what is not ours."""
    parts = module.split(".")
    if parts[0] == "apps":
        return "apps"
    return parts[1] if parts[0] == "karpa_tf" and len(parts) > 1 else None


def imports_of(file):
    """Yields the full names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield node.module
            if node.module == "karpa_tf":
                yield from (f"karpa_tf.{alias.name}" for alias in node.names)
