"""Image files for people: grids, animations and charts. The only file that imports matplotlib."""

import math
import warnings

import numpy as np
from PIL import Image, ImageOps

MIN_TILE_SIZE = 48
"""Smaller images are enlarged by an integer factor."""

OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
)
"""Fonts for scripts that Matplotlib's own font lacks; used if they are installed."""

MAX_FRAME_SIZE = 320
"""Height and width of animations, in pixels."""


def make_grid(images, columns=None):
    """Returns the images in rows, from the top left, as one image, uint8 (grid height, grid width, channels).

    Args:
        images: uint8 (n, size, size, channels).
        columns: images per row; None is the square root of n, rounded up.
    """
    n, size, _, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    images = np.concatenate([images, np.zeros((rows * columns - n, size, size, channels), np.uint8)])
    grid = images.reshape(rows, columns, size, size, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * size, columns * size, channels)


def save_grid(path, images, columns=None):
    """Writes `make_grid(images, columns)` as a PNG; the bytes depend on the images only.

    Args:
        path: the file; its folder exists.
        images: uint8 (n, size, size, channels).
        columns: as for `make_grid`.
    """
    _make_tile(make_grid(images, columns), images.shape[1]).save(path, format="PNG")


def save_images(path, images, columns=None):
    """Writes images as a grid, or as an animation if `path` ends in .gif; the bytes depend on the images only.

    Args:
        path: the file; its folder exists.
        images: uint8 (n, size, size, channels).
        columns: as for `make_grid`.
    """
    if str(path).lower().endswith(".gif"):
        _save_animation(path, [_make_tile(image, image.shape[0]) for image in images])
    else:
        save_grid(path, images, columns)


def save_animation(path, files):
    """Writes image files of the same size as an animated GIF.

    Args:
        path: the file; its folder exists.
        files: list of image files; of more than 60, 60 are used, evenly spaced, including the last.
    """
    frames = []
    for index in np.linspace(0, len(files) - 1, min(len(files), 60)):
        with Image.open(files[round(index)]) as image:
            frames.append(ImageOps.contain(image, (MAX_FRAME_SIZE, MAX_FRAME_SIZE)))
    _save_animation(path, frames)


def save_curves(path, rows, panels, x="step"):
    """Writes line charts over steps, one panel below the other: raw values thin, smoothed values thick.

    Args:
        path: PNG file.
        rows: list of dicts, such as the result of `Run.read_metrics`, each with a number for `x`.
        panels: dict from panel titles to names of lines. Lines without values, and panels without lines, are left out;
            lines with a value in some rows only are drawn with markers.
        x: name of the values on the x-axis.
    """
    available = {name for row in rows for name in row}
    panels = {title: names for title, names in panels.items() if available.intersection(names)}
    figure, axes = _figure((9, 3.2 * len(panels)), len(panels))
    axes = np.ravel(axes)
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            points = [row for row in rows if name in row]
            if not points:
                continue
            steps, values = (np.array([row[key] for row in points]) for key in (x, name))
            if len(points) < len(rows):
                axis.plot(steps, values, marker=".", label=name)
                continue
            (line,) = axis.plot(steps, values, linewidth=0.6, alpha=0.35)
            axis.plot(steps, smooth(values), linewidth=1.8, color=line.get_color(), label=name)
        axis.set_title(title, loc="left")
        axis.grid(alpha=0.25)
        if axis.lines:
            axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    for axis in axes:
        axis.sharex(axes[-1])
        axis.label_outer()
    axes[-1].set_xlabel(x)
    _save_figure(figure, path)


def save_confusion(path, confusion, classes):
    """Writes a confusion matrix: fractions of each true class as colors, and counts if there are at most 30 classes.

    Args:
        path: PNG file.
        confusion: int (classes, classes), rows are the true classes.
        classes: their names.
    """
    size = max(4.5, min(0.55 * len(classes) + 2, 18))
    figure, axis = _figure((size + 1, size))
    fractions = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = axis.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, fraction=0.046, label="fraction of the true class")
    shown = range(0, len(classes), math.ceil(len(classes) / 60))
    axis.set_xticks(shown, [_short(classes[i]) for i in shown], rotation=90)
    axis.set_yticks(shown, [_short(classes[i]) for i in shown])
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if fractions[row, column] > 0.5 else "black"
                axis.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize=8)
    _save_figure(figure, path)


def save_reliability(path, reliability, examples="images"):
    """Writes a reliability diagram: accuracy by confidence, and the number of examples in each bin.

    Args:
        path: PNG file.
        reliability: result of `metrics.classification.calibration`.
        examples: "images" or "texts".
    """
    figure, (upper, lower) = _figure((5.5, 6), 2, height_ratios=[3, 1])
    bins = len(reliability["count"])
    centers = (np.arange(bins) + 0.5) / bins
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    upper.bar(centers, np.nan_to_num(reliability["accuracy"]), 1 / bins, edgecolor="white", label="accuracy")
    upper.plot(reliability["confidence"], reliability["accuracy"], "o", color="black", markersize=3, label="mean")
    upper.set_title(f"Expected calibration error {reliability['ece']:.3f}", loc="left")
    upper.set_ylabel("accuracy")
    upper.set_ylim(0, 1)
    lower.bar(centers, reliability["count"], 1 / bins, edgecolor="white")
    lower.set_yscale("symlog")
    lower.set_ylabel(examples)
    lower.set_xlabel("largest probability")
    for axis in (upper, lower):
        axis.set_xlim(0, 1)
    _save_figure(figure, path)


def save_scatter(path, targets, predictions):
    """Writes predicted numbers, float (n,), over the true ones, with the line where both are equal, to a PNG file."""
    figure, axis = _figure((5.5, 5))
    ends = [min(np.min(targets), np.min(predictions)), max(np.max(targets), np.max(predictions))]
    axis.plot(ends, ends, color="gray", linewidth=1, linestyle="--")
    opacity = min(1, 30 / max(len(targets), 1) ** 0.5)
    axis.plot(targets, predictions, "o", markersize=3, alpha=opacity, markeredgewidth=0)
    axis.set_xlabel("true")
    axis.set_ylabel("predicted")
    _save_figure(figure, path)


def save_captioned(path, images, captions, columns=6):
    """Writes images in rows, each under its caption; without images, an empty page.

    Args:
        path: PNG file.
        images: uint8 (n, size, size, channels).
        captions: n strings.
        columns: images per row.
    """
    rows = max(math.ceil(len(images) / columns), 1)
    figure, axes = _figure((1.9 * columns, 2.3 * rows), rows, columns)
    for axis in np.ravel(axes):
        axis.set_axis_off()
    for axis, pixels, caption in zip(np.ravel(axes), images, captions, strict=False):
        axis.imshow(pixels[..., 0] if pixels.shape[-1] == 1 else pixels, cmap="gray", vmin=0, vmax=255)
        axis.set_title("\n".join(_short(line, 24) for line in caption.splitlines()), fontsize=9)
    _save_figure(figure, path, 80)


def _figure(size, rows=1, columns=1, **grid):
    from matplotlib import font_manager, rcParams
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    installed = set(font_manager.fontManager.get_font_names())
    rcParams["font.family"] = ["DejaVu Sans", *(name for name in OTHER_SCRIPTS if name in installed)]
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, gridspec_kw=grid or None)


def _save_figure(figure, path, dpi=110):
    with warnings.catch_warnings():
        # Letters that no font has are drawn as boxes; the CSV files have all names.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(path, dpi=dpi, bbox_inches="tight", pad_inches=0.1)


def _short(name, length=20):
    return name if len(name) <= length else name[: length - 1] + "…"


def smooth(values):
    """Returns the centered running mean over about a thirtieth of the values; windows shrink at both ends."""
    half = len(values) // 60
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _save_animation(path, frames):
    """Writes a GIF of about eight seconds that pauses on the last frame; browsers show a frame for at least 0.04 s."""
    duration = int(max(40, min(500, 8000 / len(frames))))
    durations = [duration] * (len(frames) - 1) + [2000]
    # 32 colors without dithering take a tenth of the bytes.
    frames = [frame.quantize(32, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _make_tile(pixels, size):
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    factor = math.ceil(MIN_TILE_SIZE / size)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
