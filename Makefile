# Each target stands alone on a fresh machine: python3.11+ with venv, make and a package index are all it needs.
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin
# A container may forbid Python to keep what it compiled: each process would compile our files and the tests anew
export PYTHONDONTWRITEBYTECODE :=

.PHONY: up test test-clients lint bench attack fuzz fuzz-documents lock clean

up:  ## prepare everything, then run engine, gateway and page until Ctrl-C; ARGS="--help" lists the options
	@$(PYTHON) install.py && exec $(BIN)/chipalign up $(ARGS)

test:  ## ruff check and format, mypy strict, pytest in three processes; ARGS="-n 0 -k NAME" runs tests of a name in one
	@$(PYTHON) install.py --tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

lint:  ## ruff and mypy alone; .pre-commit-config.yaml runs it before each commit
	@$(PYTHON) install.py --tests --no-browser
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

attack:  ## try to break every part at length, on this machine alone; ends with a table of what was tried and what failed
	@$(PYTHON) install.py --tests
	timeout --signal=INT 3600 $(BIN)/pytest -n 2 --dist loadfile -m attack --attack full $(ARGS)

fuzz:  ## send ten thousand requests drawn from the API's own description; none may hang, or end in an error of ours
	@$(PYTHON) install.py --tests
	timeout --signal=INT 3600 $(BIN)/pytest -n 0 --attack full tests/test_attack_description.py $(ARGS)

fuzz-documents:  ## build indexes of 5,000 damaged files of each family of formats; none may crash, hang or end a build
	@$(PYTHON) install.py --tests --no-browser
	timeout --signal=INT 7200 $(BIN)/pytest -n 0 -s --attack full tests/test_attack_mutations.py $(ARGS)

test-clients:  ## real clients (OpenAI's, LangChain, LiteLLM, AI SDK, Codex, opencode, aider, Open WebUI ...) before the gateway; ARGS="-k litellm" runs one
	@$(PYTHON) install.py --tests
	$(BIN)/pytest -n 0 tests/test_clients.py tests/test_open_webui.py --clients .clients $(ARGS)

bench:  ## measure; the last line of stdout is one JSON document
	@$(PYTHON) install.py && exec $(BIN)/chipalign bench $(ARGS)

# Run by whoever changes constraints.txt or pyproject.toml, on any machine with the general package index and uv (pip install uv; 0.13.9 wrote these).
# The tests and the CPU engine are locked without torch, which is in lock-torch-cpu.txt, and without triton, its GPU compiler.
UV ?= uv
COMPILE := $(UV) pip compile pyproject.toml -c constraints.txt --universal --python-version 3.11 --generate-hashes --no-annotate --quiet \
	--custom-compile-command "make lock"
RUN := --extra merge --extra eval --extra rag --extra serve --extra ui --extra slack --group alone

lock:  ## write the lock files anew from pyproject.toml and constraints.txt; tests say what then disagrees
	printf 'torch\ntriton\n' | $(COMPILE) $(RUN) --extra engine-cpu --group alone-engine-cpu --group torch-cpu --excludes /dev/stdin -o lock-cpu.txt
	$(COMPILE) $(RUN) --extra engine-gpu -o lock-gpu.txt
	printf 'torch\ntriton\n' | $(COMPILE) --extra milvus --extra postgres --extra dev --excludes /dev/stdin -o lock-tests.txt

clean:  ## remove the environment and caches; what was made at run time lives in CHIPALIGN_HOME and stays
	rm -rf .venv *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
