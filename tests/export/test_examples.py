"""Examples: those kept in a run folder, those in an export, and the text files saved with them."""

import exported_models
import numpy as np
import pytest
import tensorflow as tf

from karpa_tf.export import examples
from karpa_tf.export.masked_lm import mask_one_word
from karpa_tf.training.run import Run


def test_a_run_keeps_a_few_images_unchanged_and_does_not_replace_them(tmp_path):
    run = Run(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (100, 5, 4, 3), np.uint8)
    examples.save_images(run, images)
    kept = examples.load_images(run, (5, 4, 3))
    assert kept.shape == (8, 5, 4, 3)
    assert all(any((example == image).all() for image in images) for example in kept)
    assert (kept[0] == images[0]).all() and (kept[-1] == images[-1]).all()
    examples.save_images(run, 255 - images)
    np.testing.assert_array_equal(examples.load_images(run, (5, 4, 3)), kept)
    assert examples.load_images(run, (6, 4, 3)) is None and examples.load_texts(run) is None


def test_a_run_keeps_a_few_truncated_texts_and_only_the_chief_writes(tmp_path):
    examples.save_texts(Run(tmp_path, writes=False), ["text"])
    assert examples.load_texts(Run(tmp_path)) is None
    examples.save_texts(Run(tmp_path), ["ä" * 5000, "b\n"])
    assert examples.load_texts(Run(tmp_path)) == ["ä" * 2000, "b\n"]


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_selected_indices_are_distinct_and_include_the_first_and_last(count):
    indices = examples.select_indices(count).tolist()
    assert len(indices) == min(count, 8) == len(set(indices))
    assert count == 0 or (indices[0], indices[-1]) == (0, count - 1)


def test_examples_are_real_and_edge_cases_are_synthetic(export):
    assert export.real_examples
    if export.task == "image_classification":
        shape = (3, exported_models.IMAGE_SIZE, exported_models.IMAGE_SIZE, 3)
        images = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
        np.testing.assert_array_equal(export.examples["images"][0]["images"], images)
        decoded = [tf.io.decode_png(file).numpy() for file in export.examples["serving_default"][0]["image_bytes"]]
        np.testing.assert_array_equal(decoded, images)
        assert not np.array_equal(export.edge_cases["images"][0]["images"], images)
    if export.task == "masked_lm":
        assert export.examples["embed"][0]["text"].tolist() == list(exported_models.TEXTS)
        masked = export.examples["serving_default"][0]["text"]
        assert [text.count("[MASK]") for text in masked] == [1] * len(exported_models.TEXTS)
    if export.task == "pair_classification":
        request = export.examples["serving_default"][0]
        assert list(zip(request["text"], request["text_pair"], strict=True)) == list(exported_models.PAIRS)
    if export.task in ("text_classification", "text_regression", "token_classification"):
        assert export.examples["serving_default"][0]["text"].tolist() == list(exported_models.TEXTS)
    if "text" in export.examples["serving_default"][0]:
        assert "" in export.edge_cases["serving_default"][0]["text"].tolist()


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("one two three", "one [MASK] three"),
        (" ".join("abcdefghijklmnop"), "a b c d e [MASK] g h i j k l m n o p"),
        ("word", "[MASK]"),
        ("a [MASK] there", "a [MASK] there"),
        ("", ""),
    ],
)
def test_one_word_of_a_text_is_masked(text, masked):
    assert mask_one_word(text) == masked


def test_class_names_and_vocabulary_are_saved_as_text_files(export):
    lines = {name: text.split("\n") for name, text in export.files.items()}
    assert all(text[-1] == "" for text in lines.values())
    expected = {}
    if export.task in ("image_classification", "conditional_image_generation"):
        expected["labels.txt"] = exported_models.CLASSES
    if export.task in ("text_classification", "pair_classification"):
        expected["labels.txt"] = exported_models.TEXT_CLASSES
    if export.task == "token_classification":
        expected["labels.txt"] = exported_models.TYPES
    if export.task.startswith(("masked_lm", "text", "pair", "token")):
        expected["vocabulary.txt"] = exported_models.VOCABULARY.tokens
    assert {name: tuple(text[:-1]) for name, text in lines.items()} == expected
