"""Images for people: sheets of samples, films of them, curves. The only file that imports matplotlib."""

import math
import warnings

import numpy as np
from PIL import Image, ImageOps

SMALLEST_TILE = 48
"""Tiles of fewer pixels are enlarged by a whole factor, so that a digit can be seen."""

OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Arial Unicode MS",
    "WenQuanYi Zen Hei",
)
"""Fonts that letters are looked up in which Matplotlib's own lacks, where they are installed."""

LARGEST_FRAME = 320
"""Films are made no larger, in pixels, so that a GIF stays fit for a page."""


def make_grid(images, columns=None):
    """Returns uint8 (height, width, channels): the images in rows from the top left, on a grid as square as can be.

    Args:
        images: uint8 (n, side, side, channels).
        columns: images in a row; None takes the square root of n, rounded up.
    """
    n, side, _, channels = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    images = np.concatenate([images, np.zeros((rows * columns - n, side, side, channels), np.uint8)])
    grid = images.reshape(rows, columns, side, side, channels).transpose(0, 2, 1, 3, 4)
    return grid.reshape(rows * side, columns * side, channels)


def save_grid(path, images, columns=None):
    """Writes `make_grid(images, columns)` as a PNG: same images, same bytes.

    Args:
        path: the file; its folder exists.
        images: uint8 (n, side, side, channels).
        columns: as for `make_grid`.
    """
    _image(make_grid(images, columns), images.shape[1]).save(path, format="PNG")


def save_images(path, images):
    """Writes images as a sheet, or one after the other as a film where `path` ends in .gif: same images, same bytes.

    Args:
        path: the file; its folder exists.
        images: uint8 (n, side, side, channels).
    """
    if str(path).lower().endswith(".gif"):
        _save_animation(path, [_image(image, image.shape[0]) for image in images])
    else:
        save_grid(path, images)


def save_animation(path, images):
    """Writes image files of one size as an animated GIF.

    Args:
        path: the file; its folder exists.
        images: list of image files; of more than 60 as many are taken, evenly, the last among them.
    """
    chosen = [images[round(i)] for i in np.linspace(0, len(images) - 1, min(len(images), 60))]
    frames = []
    for file in chosen:
        with Image.open(file) as image:
            frames.append(ImageOps.contain(image, (LARGEST_FRAME, LARGEST_FRAME)))
    _save_animation(path, frames)


def save_curves(path, rows, panels, x="step"):
    """Writes line charts over steps, one below the other: what was measured in faint lines, smoothed in bold.

    Args:
        path: PNG file.
        rows: list of dicts, as `Run.read_metrics` returns them, with a number for `x`.
        panels: dict from the title of a panel to the names of its lines; one that no row has is not drawn, nor a panel
            without lines; one that few rows have is drawn with its points.
        x: what the lines are drawn over.
    """
    known = {name for row in rows for name in row}
    panels = {title: names for title, names in panels.items() if known.intersection(names)}
    figure, axes = _figure((9, 3.2 * len(panels)), len(panels))
    axes = np.ravel(axes)
    for axis, (title, names) in zip(axes, panels.items(), strict=True):
        for name in names:
            having = [row for row in rows if name in row]
            if not having:
                continue
            steps, values = (np.array([row[key] for row in having]) for key in (x, name))
            if len(having) < len(rows):
                axis.plot(steps, values, marker=".", label=name)
                continue
            (line,) = axis.plot(steps, values, linewidth=0.6, alpha=0.35)
            axis.plot(steps, _smooth(values), linewidth=1.8, color=line.get_color(), label=name)
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
    """Writes a confusion matrix: shares of each true class in color, and counts where there is room for them.

    Args:
        path: PNG file.
        confusion: int (classes, classes), rows are the true classes.
        classes: their names.
    """
    side = max(4.5, min(0.55 * len(classes) + 2, 18))
    figure, axis = _figure((side + 1, side))
    shares = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    image = axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axis, fraction=0.046, label="share of the true class")
    shown = range(0, len(classes), math.ceil(len(classes) / 60))
    axis.set_xticks(shown, [_short(classes[i]) for i in shown], rotation=90)
    axis.set_yticks(shown, [_short(classes[i]) for i in shown])
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if len(classes) <= 30:
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axis.text(column, row, f"{count}", ha="center", va="center", color=color, fontsize=8)
    _save_figure(figure, path)


def save_reliability(path, reliability, examples="images"):
    """Writes how often the classifier is right where it is so sure, and how often it is so sure.

    Args:
        path: PNG file.
        reliability: what `metrics.calibration` returned.
        examples: what was classified.
    """
    figure, (upper, lower) = _figure((5.5, 6), 2, height_ratios=[3, 1])
    bins = len(reliability["count"])
    centers = (np.arange(bins) + 0.5) / bins
    upper.plot([0, 1], [0, 1], color="gray", linewidth=1, linestyle="--")
    upper.bar(centers, np.nan_to_num(reliability["accuracy"]), 1 / bins, edgecolor="white", label="accuracy")
    upper.plot(reliability["confidence"], reliability["accuracy"], "o", color="black", markersize=3, label="mean")
    upper.set_title(f"Expected calibration error {reliability['ece']:.3f}", loc="left")
    upper.set_ylabel("share that is right")
    upper.set_ylim(0, 1)
    lower.bar(centers, reliability["count"], 1 / bins, edgecolor="white")
    lower.set_yscale("symlog")
    lower.set_ylabel(examples)
    lower.set_xlabel("largest probability")
    for axis in (upper, lower):
        axis.set_xlim(0, 1)
    _save_figure(figure, path)


def save_captioned(path, images, captions, columns=6):
    """Writes images in rows, each under its caption; none gives an empty page.

    Args:
        path: PNG file.
        images: uint8 (n, side, side, channels).
        captions: n strings.
        columns: images in a row.
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
        # Where no font has a letter, a box stands for it; the tables beside the images have all names in full.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(path, dpi=dpi, bbox_inches="tight", pad_inches=0.1)


def _short(name, length=20):
    return name if len(name) <= length else name[: length - 1] + "…"


def _smooth(values):
    """Returns the centered running mean over about a thirtieth of the values; windows shrink at both ends."""
    half = len(values) // 60
    total = np.concatenate([[0.0], np.cumsum(values)])
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (total[high] - total[low]) / (high - low)


def _save_animation(path, frames):
    """Runs for about eight seconds and rests on the last frame; browsers show none for less than 0.04 s."""
    each = int(max(40, min(500, 8000 / len(frames))))
    durations = [each] * (len(frames) - 1) + [2000]
    # 32 colors without dithering: a tenth of the bytes, and hardly seen in motion.
    frames = [frame.quantize(32, dither=Image.Dither.NONE) for frame in frames]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)


def _image(pixels, side):
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    factor = math.ceil(SMALLEST_TILE / side)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
