"""Line charts as HTML: the lines are SVG that stretches with the page, the text around them keeps its size."""

import itertools
import math

import numpy as np

from karpa_tf.evaluation.markup import Html, element, format_number, text
from karpa_tf.plots import smooth

WIDTH, HEIGHT = 1000, 300
COLORS = 8
"""Colors in the style sheet; further lines are dashed."""

FEW = 60
"""Up to this number of points they are marked; of more, the running mean is drawn thick and the values thin."""

MAX_POINTS = 400
"""Maximum number of points of a running mean, and of pairs of extremes of the values."""


def draw_curves(title, lines, x_name, references=()):
    """Returns a chart, or "" if no line has a finite value.

    Args:
        title: what is drawn.
        lines: list of (name, x, y) with float arrays of the same length; x ascends, y may be infinite or NaN.
        x_name: what is on the x-axis.
        references: list of (name, y) of horizontal lines.
    """
    lines = [(name, np.asarray(x, float), np.asarray(y, float)) for name, x, y in lines]
    lines = [(name, x, y) for name, x, y in lines if np.isfinite(y).any()]
    if not lines:
        return Html()
    x_range = min(x[0] for _, x, _ in lines), max(x[-1] for _, x, _ in lines)
    y_range = _find_range([y for *_, y in lines], [y for _, y in references])
    paths = [_path([0, WIDTH], [HEIGHT - _scale(y, y_range) * HEIGHT] * 2, "grid") for y in _find_ticks(*y_range)]
    for index, (_, x, y) in enumerate(lines):
        paths += _draw_line(_scale(x, x_range) * WIDTH, HEIGHT - _scale(y, y_range) * HEIGHT, _color(index))
    for _, y in references:
        paths.append(_path([0, WIDTH], [HEIGHT - _scale(y, y_range) * HEIGHT] * 2, "reference"))
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" aria-label="{text(title)}">'
    ticks = [f'<span class="y" style="bottom:{_scale(y, y_range):.2%}">{y:,.6g}</span>' for y in _find_ticks(*y_range)]
    ticks += [f'<span class="x" style="left:{_scale(x, x_range):.2%}">{x:,.6g}</span>' for x in _find_ticks(*x_range)]
    plot = element("div", f"{svg}{''.join(paths)}</svg>{''.join(ticks)}", "plot")
    items = [(_color(index), name, y[np.isfinite(y)][-1]) for index, (name, _, y) in enumerate(lines)]
    items += [("reference", name, y) for name, y in references]
    legend = "".join(
        f'<li class="{css}"><i></i>{text(name)} <b>{format_number(float(value), title.lower())}</b></li>'
        for css, name, value in items
    )
    caption = element("figcaption", f"{text(title)} <small>by {text(x_name)}</small>")
    return element("figure", caption + plot + element("ul", legend, "legend"), "chart")


def _color(index):
    return f"c{index % COLORS}" + (" more" if index >= COLORS else "")


def _draw_line(x, y, css):
    """Returns the paths of a line, given in the units of the view box."""
    if len(x) <= FEW:
        return [_path(x, y, css), _path(x, y, f"{css} dots", "{:.1f} {:.1f}h.01")]
    finite = np.isfinite(y)
    bounds = np.unique(np.linspace(0, finite.sum(), min(finite.sum(), MAX_POINTS) + 1).astype(int))
    chunks = list(itertools.pairwise(bounds))
    x, y = x[finite], y[finite]
    middles, extremes = (
        [x[(low + high) // 2] for low, high in chunks],
        [(y[a:b].min(), y[a:b].max()) for a, b in chunks],
    )
    mean = smooth(y)
    return [
        _path(np.repeat(middles, 2), np.ravel(extremes), f"{css} thin"),
        _path(middles, [mean[(low + high) // 2] for low, high in chunks], css),
    ]


def _path(x, y, css, point="{:.1f} {:.1f}"):
    """Returns a path through the finite points; it is interrupted where one is not finite."""
    commands, pen = [], "M"
    for x_value, y_value in zip(x, y, strict=True):
        if math.isfinite(y_value):
            commands.append(pen + point.format(x_value, y_value))
        pen = "L" if math.isfinite(y_value) and "h" not in point else "M"
    return f'<path class="{css}" d="{"".join(commands)}"/>'


def _find_range(lines, references):
    """Returns the range of the y-axis: of the running means and all but a few extreme values, with a margin."""
    values = [y[np.isfinite(y)] for y in lines]
    ends = [*(np.percentile(y, (1, 99)) for y in values), *((smooth(y).min(), smooth(y).max()) for y in values)]
    low, high = min(*np.ravel(ends), *references), max(*np.ravel(ends), *references)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _scale(value, bounds):
    low, high = bounds
    return (value - low) / (high - low) if high > low else value * 0 + 0.5


def _find_ticks(low, high):
    """Returns three to six round numbers from `low` to `high`."""
    if high <= low:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 5))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= (high - low) / 5.001)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
