PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types setup clean

setup: .venv/ready

.venv/ready: constraints.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade --constraint constraints.txt pip setuptools
	# torch first: its exact version is what keeps pip from fetching another build.
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[all]'
	touch $@
