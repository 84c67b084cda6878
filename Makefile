# Each target stands alone on a fresh machine: python3.11+ with venv, make and a package index are all it needs.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: up test lint bench attack clean

up:  ## prepare everything, then run engine, gateway and page until Ctrl-C; ARGS="--help" lists the options
	@$(PYTHON) install.py && exec $(BIN)/chipalign up $(ARGS)

test:  ## ruff, mypy strict, pytest in two processes; ARGS="-n 0 -k NAME" runs tests of a name in one
	@$(PYTHON) install.py --tests
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest -n 2 --dist loadfile $(ARGS)

lint:  ## ruff and mypy alone
	@$(PYTHON) install.py --tests --no-browser
	$(BIN)/ruff check .
	$(BIN)/mypy

attack:  ## try to break every part at length, on this machine alone; ends with a table of what was tried and what failed
	@$(PYTHON) install.py --tests
	$(BIN)/pytest -n 0 -m attack --attack full $(ARGS)

bench:  ## measure; the last line of stdout is one JSON document
	@$(PYTHON) install.py && exec $(BIN)/chipalign bench $(ARGS)

clean:  ## remove the environment and caches; what was made at run time lives in CHIPALIGN_HOME and stays
	rm -rf .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
