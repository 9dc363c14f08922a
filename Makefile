# Everything starts here: `make run`, `make test`. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

UV_VERSION := 0.13.9
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
PY := .venv/bin/python
ENGINE_PY := .venv-engine/bin/python
HOTLINE := $(PY) -m bot.cli
# uv must not be told by the machine's settings to leave out bytecode: without it each start of Rasa
# compiles 12,000 modules again (docs/adr/0001-two-environments.md).
SYNC := env -u PYTHONDONTWRITEBYTECODE UV_LINK_MODE=copy $(UV) sync --frozen --compile-bytecode
export RASA_TELEMETRY_ENABLED := false
export TF_CPP_MIN_LOG_LEVEL := 3
export SQLALCHEMY_SILENCE_UBER_WARNING := 1

.PHONY: help setup train widget run cluster test test-service test-engine test-browser test-fuzz test-e2e test-reliability eval bench lint format shell validate clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

setup: .stamps/service .stamps/engine ## both environments, from the lock file

.uv/bin/uv:
	@echo "== uv is not installed: fetching it into .uv/"
	python3 -m venv .uv
	.uv/bin/pip install --quiet uv==$(UV_VERSION)

.stamps/service: uv.lock pyproject.toml | $(UV)
	@echo "== service environment (.venv, Python 3.11 or newer)"
	@mkdir -p .stamps
	$(SYNC) --only-group service --only-group dev --python '>=3.11'
	@touch $@

.stamps/engine: uv.lock pyproject.toml | $(UV)
	@echo "== engine environment (.venv-engine, Python 3.10, 2.4 GB: this takes some minutes the first time)"
	@mkdir -p .stamps
	@$(UV) python find 3.10 >/dev/null 2>&1 || $(UV) python install 3.10 >/dev/null 2>&1 || { \
	  echo "The engine needs Python 3.10, which is not on this machine and cannot be fetched: install it, for example with 'pyenv install 3.10', and run make again." >&2; exit 1; }
	UV_PROJECT_ENVIRONMENT=.venv-engine $(SYNC) --only-group engine --only-group engine-dev --python 3.10
	@touch $@

train: setup ## train the engine's model, if anything it depends on has changed
	$(HOTLINE) train

widget: .stamps/service ## build the chat widget, if anything it depends on has changed
	$(PY) -m bot.widget_build

run: setup ## everything on this machine: chat page http://127.0.0.1:8000/
	@$(HOTLINE) up

cluster: setup ## PostgreSQL, Redis, nginx, 2 engines, 2 gateways, 1 desk on this machine
	@$(HOTLINE) cluster

test: setup ## all tests: service, engine, browser, fuzzing, end to end, under fire
	$(MAKE) --no-print-directory test-service test-engine test-browser test-fuzz test-e2e test-reliability

# On a machine that does much else a browser or a process may miss a moment: what fails is run once more, and the report
# shows it as R. What fails twice fails.
AGAIN := --reruns 1

# What needs the engine's environment and a model.
REAL := tests/e2e tests/gateways tests/browser/real tests/security/real
FIRE := tests/reliability tests/crash

test-service: .stamps/service ## unit tests of the service, without the engine
	$(PY) -m pytest tests -n auto --dist loadfile $(AGAIN) --ignore=tests/engine --ignore=tests/browser --ignore=tests/bench --ignore=tests/desk/pages --ignore=tests/fuzz $(addprefix --ignore=,$(REAL) $(FIRE))

test-engine: .stamps/engine ## tests of the graph components, in the engine's environment
	$(ENGINE_PY) -m pytest tests/engine

test-browser: .stamps/service ## widget and desk in a browser, on a scripted engine
	$(PY) -m bot.widget_build
	$(PY) -m pytest tests/browser --ignore=tests/browser/real --timeout=300 $(AGAIN)
	$(PY) -m pytest tests/desk/pages --timeout=300 $(AGAIN)

test-fuzz: .stamps/service ## 2,000 cases at each door
	$(PY) -m pytest tests/fuzz --timeout=900

test-e2e: setup ## the real processes: public API, SMS gateway, widget and desk in browsers
	$(HOTLINE) train
	$(PY) -m bot.widget_build
	$(PY) -m pytest $(REAL) --timeout=900 $(AGAIN)

test-reliability: setup ## failure matrix (docs/reliability.md) and crash test, on the real processes
	$(HOTLINE) train
	$(PY) -m pytest tests/reliability --timeout=600
	$(PY) -m pytest tests/crash --timeout=1800 $(AGAIN)

eval: setup ## accuracy on the samples and on our own sets, with floors
	$(HOTLINE) eval --floors tests/floors.yml --html var/eval.html $(wildcard ../shared/eval/*.tsv ../shared/eval/*.yml) $(wildcard tests/eval/*.tsv tests/eval/*.yml)

bench: setup ## speed beside the stock Rasa pipeline, in one run
	$(HOTLINE) train
	$(PY) -m tests.bench.compare

validate: .stamps/engine ## rasa data validate
	.venv-engine/bin/rasa data validate --fail-on-warnings

shell: setup ## talk to the engine alone (rasa shell)
	$(HOTLINE) train
	$(HOTLINE) shell

lint: .stamps/service ## ruff and mypy
	$(PY) -m ruff check bot actions tests
	$(PY) -m ruff format --check bot actions tests
	$(PY) -m mypy

format: .stamps/service ## let ruff put the code into shape
	$(PY) -m ruff check --fix bot actions tests
	$(PY) -m ruff format bot actions tests

clean: ## remove what was built; the data in var/ stays
	rm -rf .venv .venv-engine .uv .stamps models .rasa build .pytest_cache .mypy_cache .ruff_cache
