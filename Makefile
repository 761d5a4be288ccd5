# Each target sets up what it needs by itself; see README.md.
PY := .venv/bin/python
SRC := kiosk drivers ui sync resources tests

.PHONY: demo test check lint types qml imports bench shots setup clean

demo: setup
	@$(PY) -m kiosk demo

test: setup
	@$(PY) -m pytest -q -n auto --dist worksteal

check: lint types qml imports test

lint: setup
	@$(PY) -m ruff check $(SRC)
	@$(PY) -m ruff format --check $(SRC)

types: setup
	@$(PY) -m mypy --strict

qml: setup
	@$(PY) .ci/qmllint.py

imports: setup
	@.venv/bin/lint-imports

bench: setup
	@$(PY) -m tests.bench

shots: setup
	@$(PY) -m tests.shots

setup:
	@sh .ci/setup

clean:
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
