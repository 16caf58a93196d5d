"""Images cached as files: preparing them, decoding central squares and random crops of 224x224, and memory.

$ python -m benchmarks.image_files                          3,000 and 30,000 images
$ python -m benchmarks.image_files --counts 300000          needs 20 GB of disk

Writes JPEG files of 256x256 (500 different ones, in turn) to a temporary folder, and measures each part in a process of
its own. Up to 3,000 images the same is measured of the cache of pixels, and where PyTorch is installed, of a
`DataLoader` that crops with Pillow as torchvision does. Rates are per second of the wall clock and per second of a
core, which other work on the machine changes less.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from karpa_tf.system import console

FILE_SIZE, IMAGE_SIZE, BATCH_SIZE, CROP_SCALE = 256, 224, 64, 0.08
DIFFERENT, NUM_CLASSES, MAX_PIXELS_COUNT = 500, 10, 3000
SECONDS = 10
ROOT = Path(__file__).parents[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=[3000, 30_000], help="numbers of images")
    parser.add_argument("--folder", help="where to make the temporary folder")
    for count in (arguments := parser.parse_args()).counts:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            _measure_all(Path(folder), count)


def _measure_all(folder, count):
    """Prints the figures of a number of images, which are written to a folder."""
    _write_images(folder / "images", count)
    print(
        f"{count:,} JPEG files of {FILE_SIZE}x{FILE_SIZE}, {_count_bytes(folder / 'images') / 1e6:,.0f} MB", flush=True
    )
    _report("prepared as files", _measure("prepare", folder, "files"))
    print(
        f"  {_count_bytes(folder / 'cache') / 1e6:,.0f} MB of cache; pixels: {count * IMAGE_SIZE**2 * 3 / 1e6:,.0f} MB"
    )
    _report("files, central squares", _measure("read", folder, "files", "1"))
    _report("files, random crops", _measure("read", folder, "files", str(CROP_SCALE)))
    if count <= MAX_PIXELS_COUNT:
        _report("prepared as pixels", _measure("prepare", folder, "pixels"))
        _report("pixels, central squares", _measure("read", folder, "pixels", "1"))
        _report("pixels, random crops", _measure("read", folder, "pixels", str(CROP_SCALE)))
    try:
        import torch  # noqa: F401
    except ImportError:
        return
    _report("PyTorch DataLoader, random crops with Pillow", _measure("torch", folder))


def _report(name, figures):
    rate, core_rate = figures["count"] / figures["seconds"], figures["count"] / figures["core"]
    line = f"  {name}: {rate:,.0f} images/s, {core_rate:,.0f} per second of a core; "
    line += f"{figures['memory']:.2f} GB, {figures['before']:.2f} before"
    if "first" in figures:
        line += f"; first batch after a resume in {figures['first']:.2f} s"
    print(line, flush=True)


def _write_images(folder, count):
    import numpy as np
    from PIL import Image

    rng, contents = np.random.default_rng(0), []
    for _ in range(DIFFERENT):
        slow = Image.fromarray(rng.integers(0, 256, (FILE_SIZE // 8, FILE_SIZE // 8, 3), np.uint8))
        pixels = np.asarray(slow.resize((FILE_SIZE, FILE_SIZE), Image.Resampling.BICUBIC))
        noise, buffer = rng.integers(-12, 13, (FILE_SIZE, FILE_SIZE, 1)), io.BytesIO()
        Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    for label in range(NUM_CLASSES):
        (folder / str(label)).mkdir(parents=True)
    for number in range(count):
        (folder / str(number % NUM_CLASSES) / f"{number:07}.jpg").write_bytes(contents[number % DIFFERENT])


def _count_bytes(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _measure(*words):
    """Returns the figures that this program prints as a process of its own, started with some words."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "benchmarks.image_files", *map(str, words)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout
    return json.loads(output.splitlines()[-1])


def _get_peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


class Clock:
    """Measures seconds, seconds of all cores of this process, and its peak memory in GB."""

    def __init__(self):
        self.before, self.start, self.start_core = _get_peak(), time.perf_counter(), time.process_time()

    def stop(self, count, **others):
        """Prints the figures of `count` images, as JSON."""
        seconds, core = time.perf_counter() - self.start, time.process_time() - self.start_core
        figures = {"count": count, "seconds": seconds, "core": core, "memory": _get_peak(), "before": self.before}
        print(json.dumps(figures | others))


def _load(folder, image_cache):
    from karpa_tf.configs.image_format import ImageFormat
    from karpa_tf.data.images.splits import load_splits

    image_format = ImageFormat(IMAGE_SIZE, 3, cache_dir=str(folder / "cache"), image_cache=image_cache)
    return load_splits(str(folder / "images"), image_format, 0, 0).train


def _prepare(folder, image_cache):
    clock = Clock()
    clock.stop(len(_load(folder, image_cache).images))


def _read(folder, image_cache, crop_scale):
    from karpa_tf.configs.augmentation import AugmentationConfig
    from karpa_tf.data.images.augmentation import make_augmentation, separate_crops
    from karpa_tf.data.images.batches import make_labeled_batches

    start, before = time.perf_counter(), _get_peak()
    image_set = _load(folder, image_cache)
    config = AugmentationConfig(flip="random", crop_scale=float(crop_scale))
    config, scale = separate_crops(config, image_set.images)
    augment = make_augmentation(config, image_set.images.shape[1:])
    batches = iter(make_labeled_batches(image_set, BATCH_SIZE, 0, augment, scale, first_step=10**6))
    next(batches)
    first = time.perf_counter() - start
    for _ in range(10):
        next(batches)
    _consume(lambda: next(batches), first=first, before=before)


def _consume(read_batch, **others):
    clock, count = Clock(), 0
    while time.perf_counter() - clock.start < SECONDS:
        read_batch()
        count += BATCH_SIZE
    clock.stop(count, **others)


def _read_with_torch(folder):
    import math

    import numpy as np
    import torch
    from PIL import Image

    rng = np.random.default_rng()

    def draw(width, height):
        """Returns the box of torchvision's RandomResizedCrop."""
        for _ in range(10):
            area = width * height * rng.uniform(CROP_SCALE, 1)
            ratio = math.exp(rng.uniform(-math.log(4 / 3), math.log(4 / 3)))
            columns, rows = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if columns <= width and rows <= height:
                left, top = rng.integers(width - columns + 1), rng.integers(height - rows + 1)
                return left, top, left + columns, top + rows
        return 0, 0, width, height  # of square images

    class Crops(torch.utils.data.Dataset):
        files = sorted(Path(folder, "images").rglob("*.jpg"))

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            with Image.open(self.files[index]) as image:
                image = image.convert("RGB")
            crop = image.crop(draw(*image.size)).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
            pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)
            return (pixels.flip(-1) if rng.random() < 0.5 else pixels).float() / 127.5 - 1, int(
                self.files[index].parent.name
            )

    torch.set_num_threads(1)
    start, cores = time.perf_counter(), os.cpu_count()
    loader = torch.utils.data.DataLoader(Crops(), BATCH_SIZE, True, num_workers=cores, drop_last=True)
    count, start_core, before = 0, _get_core_time(), _get_peak()
    while time.perf_counter() - start < SECONDS:
        for _ in loader:
            count += BATCH_SIZE
            if time.perf_counter() - start >= SECONDS:
                break
    seconds = time.perf_counter() - start
    core = _get_core_time() - start_core
    print(json.dumps({"count": count, "seconds": seconds, "core": core, "memory": _get_peak(), "before": before}))


def _get_core_time():
    """Returns the seconds of all cores of this process and of those that it started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + usage.ru_utime + usage.ru_stime


PARTS = {"prepare": _prepare, "read": _read, "torch": _read_with_torch}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in PARTS:
        console.hide_tensorflow_messages()
        PARTS[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
    else:
        main()
