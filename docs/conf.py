"""Settings of the site that `make docs` builds from README.md, the pages in docs/ and the docstrings.

The root of the repository is the source folder, so that links and images are the same on the site and in the files.
"""

import pkgutil
import shutil
from importlib import import_module
from pathlib import Path

project = "karpa_tf"
root_doc = "README"
include_patterns = ["README.md", "docs/**.md", "deploy/README.md", "saved_models/README.md"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]

myst_heading_anchors = 3
highlight_language = "none"
default_role = "code"
autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints = "none"
add_module_names = False
napoleon_numpy_docstring = False
napoleon_use_rtype = False

html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_title = "karpa_tf"
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

NAVIGATION = {
    "Tasks": ["classification", "gans", "language", "tagging", "search"],
    "Topics": ["training", "distribution", "/deploy/README", "export", "/saved_models/README", "serving", "speed"],
    "Reference": ["results", "library", "api/index", "design", "development"],
}
"""Pages by the heading of the sidebar, in docs/ unless they begin with a slash."""


def setup(app):
    """Adds what the pages do not say themselves: the sidebar, and the modules of the API reference."""
    app.connect("source-read", add_directives)
    app.connect("build-finished", add_index)


def add_directives(app, name, source):
    """Appends the sidebar to the first page, and the modules of a package to its page."""
    if name == root_doc:
        for caption, pages in NAVIGATION.items():
            paths = "\n".join(page if page.startswith("/") else f"/docs/{page}" for page in pages)
            source[0] += f"\n```{{toctree}}\n:hidden:\n:caption: {caption}\n\n{paths}\n```\n"
    folder, _, package = name.rpartition("/")
    if folder == "docs/api" and package != "index":
        source[0] += "".join(map(describe_module, find_modules(f"karpa_tf.{package}")))


def find_modules(name):
    """Returns the names of a module or of the modules in a package, at any depth, in order."""
    module = import_module(name)
    if not hasattr(module, "__path__"):
        return [name]
    found = pkgutil.walk_packages(module.__path__, f"{name}.")
    own = [name] if any(getattr(value, "__module__", "") == name for value in vars(module).values()) else []
    return own + sorted(info.name for info in found if not info.ispkg)


def describe_module(name):
    """Returns the section of a module in Markdown; its content is that of its docstrings."""
    return f"\n## {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"


def add_index(app, error):
    """Copies the first page to index.html, which browsers and servers open."""
    if not error:
        shutil.copyfile(Path(app.outdir, f"{root_doc}.html"), Path(app.outdir, "index.html"))
