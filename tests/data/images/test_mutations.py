"""Damaged image files of all kinds are images or refusals, for the decoder, an export and a folder, and never a crash.

KARPA_TEST_MUTATIONS=20000 tries more of them.
"""

import collections
import json
import os
import subprocess
import sys

import exported_models
import image_mutations
import pytest

from karpa_tf.export.versions import write

COUNT, SEED, PER_PROCESS = int(os.environ.get("KARPA_TEST_MUTATIONS", "500")), 0, 5000


@pytest.mark.slow
def test_every_damaged_file_is_an_image_or_refused(tmp_path):
    export = write(tmp_path / "model", exported_models.make_tiny_classifier())
    outcomes = collections.Counter()
    for first in range(0, COUNT, PER_PROCESS):
        arguments = (str(export), str(SEED), str(first), str(min(PER_PROCESS, COUNT - first)))
        command = [sys.executable, image_mutations.__file__, *arguments]
        child = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=1200)
        *cases, last = child.stdout.splitlines()
        assert child.returncode == 0, f"after case {cases[-1:]}: {child.stderr[-2000:]}"
        report = json.loads(last)
        print({key: value for key, value in report.items() if key != "outcomes"})
        outcomes.update(report["outcomes"])
    images, refused = outcomes.pop("folder image"), outcomes.pop("folder refused")
    assert outcomes.total() == images + refused == COUNT
    # Neither everything nor nothing gets through, of any kind of file.
    for suffix in {suffix for suffix, _ in image_mutations.make_samples()}:
        assert all(any(f"{suffix} {outcome}" in name for name in outcomes) for outcome in ("image", "refused"))


def test_a_case_is_always_the_same_file():
    samples = image_mutations.make_samples()
    assert len({suffix for suffix, _ in samples}) == 5 and len(samples) > 40
    for number in range(20):
        assert image_mutations.make_case(samples, 1, number) == image_mutations.make_case(samples, 1, number)
