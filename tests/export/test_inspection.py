import json

from karpa_tf.export import card, inspection


def test_a_description_contains_what_the_files_contain(version):
    description = inspection.describe(inspection.find_version(version.parent))
    content = json.loads((version / "assets.extra" / card.FILE).read_text())
    assert description["path"] == str(version) and description["card"] == content
    assert description["signatures"] == content["signatures"]
    assert description["weights"] == content["weight_count"]
    sizes = {path: path.stat().st_size for path in version.rglob("*") if path.is_file()}
    assert description["sizes"]["saved_model.pb"] == sizes[version / "saved_model.pb"]
    assert description["sizes"]["total"] == sum(sizes.values())
    assert description["ops"]["Conv2DBackpropInput"]["core"] and not description["custom_ops"]
    assert description["warm_up_requests"] == 6 and description["tags"] == ["serve"]
    assert json.loads(json.dumps(description)) == description
