# Two commands do everything: `make demo` and `make test`. Both make .venv the first time.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$p && break; done)
BIN := .venv/bin

ON_FOUR_REPLICAS := -k "replica or synchron or evaluation" tests/training/trainers tests/training/test_checkpoints.py \
	tests/layers/test_batch_norm.py tests/test_keras_compat.py

.PHONY: demo test test-slow test-reference docs bench bench-alone lint clean

demo: .venv/installed
	$(BIN)/python -m apps.train_gan digits
	$(BIN)/python -m apps.train_classifier digits

test: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile -m slow --ignore tests/benchmarks
	$(BIN)/python -m pytest -s -m slow tests/benchmarks
	KARPA_TEST_REPLICAS=4 $(BIN)/python -m pytest -n 2 --dist loadfile $(ON_FOUR_REPLICAS)

test-reference: .venv/installed-reference
	$(BIN)/python -m pytest -m '' tests/models/test_bert_reference.py tests/models/test_published_bert.py \
		tests/metrics/test_gan_reference.py tests/metrics/test_spans_reference.py \
		tests/data/text/test_tokenizer.py tests/benchmarks/test_peers.py

# A site in build/docs: the pages of docs/ and an API reference. Links and docstrings with mistakes are errors.
docs: .venv/installed-docs
	$(BIN)/python -m sphinx -c docs -b html -E -j 2 -q -W --keep-going . build/docs
	@echo build/docs/index.html

# QUICK=1 measures less, in less than 10 minutes, and leaves docs/results.md as it is.
bench: .venv/installed-bench
ifdef QUICK
	$(BIN)/python -m benchmarks --quick
else
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.table
endif

# What is measured of karpa_tf alone.
bench-alone: .venv/installed-test
	$(BIN)/python -m benchmarks.gan_step
	$(BIN)/python -m benchmarks.checkpoints
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.serving
	$(BIN)/python -m benchmarks.image_files

lint: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

clean:
	rm -rf .venv

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "karpa_tf needs Python 3.11 or newer with venv; found none. Name one: make PYTHON=/path/to/python3"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/installed-test: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test]'
	@touch $@

.venv/installed-docs: .venv/installed-test
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,docs]'
	@touch $@

.venv/installed-bench: .venv/installed
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[bench]'
	@touch $@

.venv/installed-reference: .venv/installed-test
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[test,reference]'
	@touch $@
