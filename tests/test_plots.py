import numpy as np
import pytest
from PIL import Image

from karpa_tf import plots
from karpa_tf.metrics import classification as metrics


def numbered(count, image_size=4, channels=1):
    """Images of one gray each: 10, 20, 30, ..."""
    return np.stack([np.full((image_size, image_size, channels), 10 * (i + 1) % 256, np.uint8) for i in range(count)])


def test_a_sheet_is_filled_in_rows_and_padded_with_black():
    sheet = plots.make_grid(numbered(5), columns=3)
    assert sheet.shape == (8, 12, 1)
    assert sheet[::4, ::4, 0].tolist() == [[10, 20, 30], [40, 50, 0]]


def test_a_sheet_is_as_square_as_can_be():
    assert plots.make_grid(numbered(64)).shape == (32, 32, 1)
    assert plots.make_grid(numbered(7)).shape == (12, 12, 1)
    assert plots.make_grid(numbered(1)).shape == (4, 4, 1)


def test_the_same_images_make_the_same_bytes(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    for name in ("a.png", "b.png", "a.gif", "b.gif"):
        plots.save_images(tmp_path / name, images)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


def test_small_tiles_are_enlarged_by_a_whole_factor_and_large_ones_are_not(tmp_path):
    plots.save_grid(tmp_path / "small.png", numbered(4, image_size=20))
    pixels = np.asarray(Image.open(tmp_path / "small.png"))
    assert pixels.shape == (120, 120)  # 20 x 3 is the first multiple from 48 on
    assert pixels[::60, ::60].tolist() == [[10, 20], [30, 40]]
    plots.save_grid(tmp_path / "large.png", numbered(1, image_size=64, channels=3))
    assert Image.open(tmp_path / "large.png").size == (64, 64)


def test_a_film_shows_all_images_or_sixty_and_ends_with_the_last(tmp_path):
    files = []
    for i, image in enumerate(np.repeat(np.arange(1, 131, dtype=np.uint8), 16).reshape(130, 4, 4)):
        files.append(tmp_path / f"{i:03}.png")
        Image.fromarray(image).save(files[-1])
    for count, frames in ((1, 1), (5, 5), (130, 60)):
        plots.save_animation(tmp_path / "film.gif", files[:count])
        film = Image.open(tmp_path / "film.gif")
        assert film.n_frames == frames
        film.seek(frames - 1)
        assert np.asarray(film.convert("L")).max() == count


def test_curves_are_drawn_for_any_number_of_rows(tmp_path):
    for count in (1, 2, 500):
        rows = [{"step": i, "a": i % 3, "b": i} for i in range(count)]
        plots.save_curves(tmp_path / "curves.png", rows, {"First": ("a",), "Second": ("a", "b")})
        width, height = Image.open(tmp_path / "curves.png").size
        assert width > 800 and height > 500


def test_smoothing_keeps_a_straight_line_and_the_mean_of_noise():
    line = np.arange(300.0)
    np.testing.assert_allclose(plots._smooth(line)[5:-5], line[5:-5])
    noise = np.random.default_rng(0).normal(size=6000)
    assert plots._smooth(noise).std() < 0.15


def test_curves_take_lines_that_few_rows_have_and_leave_out_those_of_none(tmp_path):
    rows = [{"step": i, "loss": 1 / (i + 1)} | ({"val_loss": 2.0} if i % 5 == 4 else {}) for i in range(20)]
    sizes = []
    for panels in ({"Loss": ("loss", "val_loss", "missing")}, {"Loss": ("loss", "val_loss"), "None": ("missing",)}):
        plots.save_curves(tmp_path / "curves.png", rows, panels)
        sizes.append(Image.open(tmp_path / "curves.png").size)
    assert sizes[0] == sizes[1] and sizes[0][0] > 800


def colors_of(path):
    return {tuple(color) for color in np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3)}


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("classes", [2, 10, 40])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes_in_any_script(tmp_path, classes):
    confusion = np.diag(np.full(classes, 7))
    names = ["日本", "Äpfel & Birnen", *(f"a class of a rather long name {i}" for i in range(classes - 2))]
    plots.save_confusion(tmp_path / "confusion.png", confusion, names)
    image = Image.open(tmp_path / "confusion.png")
    assert image.size[0] > 400
    assert (8, 48, 107) in colors_of(tmp_path / "confusion.png")  # the darkest blue: a share of 1


def test_reliability_is_drawn_with_empty_bins(tmp_path):
    found = metrics.calibration(np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]))
    plots.save_reliability(tmp_path / "reliability.png", found)
    assert Image.open(tmp_path / "reliability.png").size[1] > 500


@pytest.mark.parametrize("count", [0, 1, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_captioned_images_are_drawn_also_if_there_are_none(tmp_path, count, channels):
    plots.save_captioned(
        tmp_path / "a.png", numbered(count, 8, channels) if count else numbered(1, 8)[:0], ["x"] * count
    )
    drawn = colors_of(tmp_path / "a.png")
    assert all((10 * (i + 1),) * 3 in drawn for i in range(count))
