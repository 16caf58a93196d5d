"""Whether a version can replace the one before it under the same name."""

import dataclasses

import pytest
import tensorflow as tf
from tiny_exports import make_constant_export

from karpa_tf.errors import UserError
from karpa_tf.export.compatibility import LABELS, VOCABULARY, format_lines, require_compatible
from karpa_tf.export.versions import write


def export_of(classes, dtype=tf.float32):
    """Returns an export with classes, whose only input is of `dtype`."""

    @tf.function(input_signature=[tf.TensorSpec((None,), dtype, name="any")])
    def compute(any):
        return {"size": tf.size(any)}

    files = {LABELS: format_lines(classes)} if classes else {}
    examples = {"serving_default": [{"any": tf.zeros(2, dtype).numpy()}]}
    return dataclasses.replace(
        make_constant_export(1), functions={"serving_default": compute}, examples=examples, files=files
    )


FLOWERS = ["daisy", "rose", "tulip"]


@pytest.mark.parametrize(
    ("export", "message"),
    [
        (export_of(["ants", "bees"]), r"1 has other classes \(daisy, rose, tulip, now ants, bees\); a server would"),
        (export_of(["daisy", "tulip", "rose"]), "1 has the classes in another order; a server would"),
        (export_of([]), r"other classes \(daisy, rose, tulip, now none\)"),
        (export_of(FLOWERS, tf.int32), r"any of serving_default is float32 \(None,\), now int32 \(None,\)"),
        (make_constant_export(1), "other classes"),
    ],
)
def test_a_version_that_clients_of_the_one_before_cannot_use_is_refused_unless_asked_for(tmp_path, export, message):
    write(tmp_path, export_of(FLOWERS))
    with pytest.raises(UserError, match=message):
        write(tmp_path, export)
    assert [path.name for path in tmp_path.iterdir()] == ["1"]
    assert write(tmp_path, export, allow_incompatible=True) == tmp_path / "2"


def test_a_version_with_the_same_classes_and_signatures_is_the_next_one(tmp_path):
    write(tmp_path, export_of(FLOWERS))
    assert write(tmp_path, export_of(FLOWERS)) == tmp_path / "2"


def test_what_is_known_before_training_is_compared_alone(tmp_path):
    write(tmp_path, export_of(FLOWERS))
    require_compatible(tmp_path, {LABELS: format_lines(FLOWERS)})
    require_compatible(tmp_path / "other", {LABELS: "ants\n"})
    with pytest.raises(UserError, match="daisy"):
        require_compatible(tmp_path, {LABELS: "ants\n"})
    with pytest.raises(UserError, match=r"other tokens in its vocabulary \(none, now \[PAD\]\)"):
        require_compatible(tmp_path, {VOCABULARY: "[PAD]\n"})


def test_details_that_both_versions_have_are_compared(tmp_path):
    write(tmp_path, dataclasses.replace(make_constant_export(1), details={"latent_dim": 64, "shape": (8, 8, 3)}))
    require_compatible(tmp_path, {}, details={"latent_dim": 64, "shape": [8, 8, 3], "new": 1})
    with pytest.raises(UserError, match=r"1 has another latent dim \(64, now 32\); a server would replace it"):
        require_compatible(tmp_path, {}, details={"latent_dim": 32})


def test_models_of_other_programs_and_damaged_ones_are_compared_by_what_they_have(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "foreign" / "1"))
    (tmp_path / "damaged" / "1").mkdir(parents=True)
    for name in ("foreign", "damaged"):
        assert write(tmp_path / name, export_of(FLOWERS)).name == "2"
