"""One server of the tiny models for the tests that leave it as it is."""

import pytest
from served import tiny_models
from served_models import serving


@pytest.fixture(scope="package")
def models(tmp_path_factory):
    return tiny_models(tmp_path_factory)


@pytest.fixture(scope="package")
def server(models):
    with serving(model_base_path=str(models), port=-1, max_body_mb=2) as server:
        yield server
