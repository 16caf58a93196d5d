"""Run folders as programs leave them, written by hand, and what a page may load."""

import json
from html.parser import HTMLParser
from pathlib import Path

import yaml
from PIL import Image

from karpa_tf.training.run import Run

NASTY = "<script>alert('x')</script> & 日本"


def write_run(path, report=None, task="classifier", rows=((1, 2.0, 0.5), (2, 1.0, 0.75)), **config):
    """Writes the folder of a run and returns the `Run`; without a report it is unfinished."""
    run = Run(path)
    for folder in (run.eval, run.samples):
        folder.mkdir(parents=True)
    run.config_file.write_text(yaml.safe_dump({"name": "model", "data": "digits", "epochs": 2, "seed": 0} | config))
    lines = ["step,epoch,loss,val_accuracy,images_per_second", *(f"{x},{x},{y},{z},100" for x, y, z in rows)]
    run.metrics_file.write_text("\n".join(lines) + "\n")
    run.update_metadata(task=task, app="train", device="CPU", units_per_step=8)
    if report is not None:
        (run.eval / "report.json").write_text(json.dumps(report))
        run.update_metadata(saved_model="saved_models/model/1")
    return run


def add_image(folder, name):
    """Writes an image of one color."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    Image.new("L", (8, 8), 99).save(Path(folder, name))


class Resources(HTMLParser):
    """What a page loads, the scripts in it, and its section titles.

    Attributes:
        loaded: values of attributes and styles that load something.
        scripts: number of scripts.
        ids: ids of the elements.
        images: number of images.
    """

    def __init__(self, page):
        super().__init__()
        self.loaded, self.scripts, self.ids, self.images = [], 0, [], 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.scripts += tag == "script"
        self.images += tag == "img"
        self.loaded += [values[key] for key in ("src", "srcset", "data") if values.get(key)]
        self.loaded += [values["href"]] if tag == "link" else []
        self.ids += [values["id"]] if "id" in values else []
