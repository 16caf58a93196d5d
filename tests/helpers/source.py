"""The project's own source files, and what they import."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]

FILES = sorted([*ROOT.glob("apps/**/*.py"), *ROOT.glob("karpa_tf/**/*.py")])
PATHS = [str(file.relative_to(ROOT)) for file in FILES]


def folder_of(module):
    """Returns the folder of a module: data for karpa_tf.data.cache, apps for apps.export, None for other packages."""
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
            yield from (name for alias in node.names if is_own_module(name := f"{node.module}.{alias.name}"))


def is_own_module(name):
    path = ROOT / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").exists()


def strings_of(file):
    """Yields the string constants of a file, without its docstrings."""
    tree = ast.parse(file.read_text())
    documented = [node for node in ast.walk(tree) if hasattr(node, "body") and isinstance(node.body, list)]
    docstrings = {
        id(statement.value)
        for node in documented
        for statement in node.body
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value
