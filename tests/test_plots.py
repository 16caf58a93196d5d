import numpy as np
import pytest
from PIL import Image

from karpa_tf import plots
from karpa_tf.metrics import classification as metrics


def make_gray_images(count, image_size=4, channels=1):
    """Returns images of a single gray level each: 10, 20, 30, ..."""
    return np.stack([np.full((image_size, image_size, channels), 10 * (i + 1) % 256, np.uint8) for i in range(count)])


def test_a_grid_is_filled_row_by_row_and_padded_with_black():
    grid = plots.make_grid(make_gray_images(5), columns=3)
    assert grid.shape == (8, 12, 1)
    assert grid[::4, ::4, 0].tolist() == [[10, 20, 30], [40, 50, 0]]


def test_a_grid_is_nearly_square_by_default():
    assert plots.make_grid(make_gray_images(64)).shape == (32, 32, 1)
    assert plots.make_grid(make_gray_images(7)).shape == (12, 12, 1)
    assert plots.make_grid(make_gray_images(1)).shape == (4, 4, 1)


def test_files_depend_on_the_images_only(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "a.gif", "b.gif"):
        plots.save_images(tmp_path / name, images)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_small_tiles_are_enlarged_by_an_integer_factor_and_large_ones_are_not(tmp_path):
    plots.save_grid(tmp_path / "small.png", make_gray_images(4, image_size=20))
    pixels = np.asarray(Image.open(tmp_path / "small.png"))
    assert pixels.shape == (120, 120)  # 20 x 3 is the first multiple of at least 48
    assert pixels[::60, ::60].tolist() == [[10, 20], [30, 40]]
    plots.save_grid(tmp_path / "large.png", make_gray_images(1, image_size=64, channels=3))
    assert Image.open(tmp_path / "large.png").size == (64, 64)


def test_an_animation_has_at_most_sixty_frames_and_ends_with_the_last(tmp_path):
    files = []
    for i, image in enumerate(np.repeat(np.arange(1, 131, dtype=np.uint8), 16).reshape(130, 4, 4)):
        files.append(tmp_path / f"{i:03}.png")
        Image.fromarray(image).save(files[-1])
    for count, frames in ((1, 1), (5, 5), (130, 60)):
        plots.save_animation(tmp_path / "animation.gif", files[:count])
        animation = Image.open(tmp_path / "animation.gif")
        assert animation.n_frames == frames
        animation.seek(frames - 1)
        assert np.asarray(animation.convert("L")).max() == count


def test_curves_are_drawn_for_any_number_of_rows(tmp_path):
    for count in (1, 2, 500):
        rows = [{"step": i, "a": i % 3, "b": i} for i in range(count)]
        plots.save_curves(tmp_path / "curves.png", rows, {"First": ("a",), "Second": ("a", "b")})
        width, height = Image.open(tmp_path / "curves.png").size
        assert width > 800 and height > 500


def test_smoothing_keeps_a_straight_line_and_reduces_noise():
    line = np.arange(300.0)
    np.testing.assert_allclose(plots.smooth(line)[5:-5], line[5:-5])
    noise = np.random.default_rng(0).normal(size=6000)
    assert plots.smooth(noise).std() < 0.15


def test_curves_draw_lines_with_few_values_and_leave_out_lines_without_values(tmp_path):
    rows = [{"step": i, "loss": 1 / (i + 1)} | ({"val_loss": 2.0} if i % 5 == 4 else {}) for i in range(20)]
    sizes = []
    for panels in ({"Loss": ("loss", "val_loss", "missing")}, {"Loss": ("loss", "val_loss"), "None": ("missing",)}):
        plots.save_curves(tmp_path / "curves.png", rows, panels)
        sizes.append(Image.open(tmp_path / "curves.png").size)
    assert sizes[0] == sizes[1] and sizes[0][0] > 800


def read_colors(path):
    return {tuple(color) for color in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("classes", [2, 10, 40])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes_in_any_script(tmp_path, classes):
    confusion = np.diag(np.full(classes, 7))
    names = ["日本", "Äpfel & Birnen", *(f"a class of a rather long name {i}" for i in range(classes - 2))]
    plots.save_confusion(tmp_path / "confusion.png", confusion, names)
    assert Image.open(tmp_path / "confusion.png").size[0] > 400
    assert (8, 48, 107) in read_colors(tmp_path / "confusion.png")  # the darkest blue: a fraction of 1


def test_reliability_is_drawn_with_empty_bins(tmp_path):
    reliability = metrics.calibration(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    plots.save_reliability(tmp_path / "reliability.png", reliability)
    assert Image.open(tmp_path / "reliability.png").size[1] > 500


@pytest.mark.parametrize("count", [0, 1, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_captioned_images_is_drawn(tmp_path, count, channels):
    plots.save_captioned(
        tmp_path / "a.png", make_gray_images(count, 8, channels) if count else make_gray_images(1, 8)[:0], ["x"] * count
    )
    colors = read_colors(tmp_path / "a.png")
    assert all((10 * (i + 1),) * 3 in colors for i in range(count))
