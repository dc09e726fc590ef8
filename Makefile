# The table of contents of this repository: `make help` prints it. The work is done by the commands behind each target.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
TASK ?= translation
TASKS := $(basename $(notdir $(wildcard configs/task/*.yaml)))
$(if $(filter $(TASK),$(TASKS)),,$(error TASK must be one of $(TASKS), got $(TASK)))
# The name that the task's demo gives its model; asked only where a command needs it.
NAME ?= $(shell $(BIN)/python -c 'from deploy.demos.settings import load_demo, training_settings as words; \
	from train.config.compose import compose_config; \
	print(compose_config(words("$(TASK)", load_demo("$(TASK)"))).name)')
STORAGE ?= sqlite:///optuna.db
TRACKING ?= $(or $(MLFLOW_TRACKING_URI),sqlite:///mlflow.db)
export MLFLOW_DISABLE_TELEMETRY := true
# MLflow's job runner is not used here; without it the server starts in half the time.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION := false
export BENTOML_DO_NOT_TRACK := true

.DEFAULT_GOAL := help
.PHONY: help setup demo train tune dashboard register promote history package serve-bento serve-torchserve mlflow-ui conformance images smoke-images bench bench-quick check format test docs screenshots lock clean

help: ## Print every target with what it does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Install everything into .venv (skipped when the lock file has not changed)

$(VENV)/.installed: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"Python 3.11, 3.12 or 3.13 is needed, {sys.executable} is {sys.version.split()[0]}; give PYTHON=/path/to/python3.12")'
	@echo 'Installing the pinned environment into $(VENV): two or three minutes, once.'
	@$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup ## The whole road on built-in data: train to serve and compare; TASK=image_classification, ARGS="--minutes 1"
	$(BIN)/python -m deploy.demos.road --task $(TASK) $(ARGS)

train: setup ## Train; ARGS="task=translation data=multi30k model=t5_tiny train.max_minutes=20"
	$(BIN)/python -m train $(ARGS)

tune: setup ## Search hyperparameters on the built-in data of TASK, train the best, compare with the defaults
	$(BIN)/python -m deploy.demos.search --task $(TASK) $(ARGS)

dashboard: setup ## Show studies on http://127.0.0.1:8081; STORAGE=postgresql+psycopg2://… (default: optuna.db)
	$(BIN)/optuna-dashboard --host 127.0.0.1 --port 8081 $(STORAGE)

register: setup ## Register a run or bundle; RUN=runs/<id>
	$(BIN)/python -m model_registry --tracking-uri $(TRACKING) register $(or $(RUN),$(error give RUN=runs/<id>))

promote: setup ## Send a version of NAME (default: TASK's own) through the gate; VERSION=3 (default: the candidate)
	$(BIN)/python -m model_registry --tracking-uri $(TRACKING) promote $(NAME) $(or $(VERSION),candidate)

history: setup ## Show every decision about NAME: when, who, what, why
	$(BIN)/python -m model_registry --tracking-uri $(TRACKING) history $(NAME)

package: setup ## Package NAME@champion (or BUNDLE=path) as a Bento and as dist/*.mar
	$(BIN)/python -m model_registry --tracking-uri $(TRACKING) package $(or $(BUNDLE),$(NAME)@champion) --out dist

serve-bento: setup ## Serve the packaged model with BentoML on http://127.0.0.1:3000
	$(BIN)/bentoml serve --host 127.0.0.1 --port 3000

serve-torchserve: setup ## Serve MAR=dist/<name>-<version>.mar (default: the newest) on 127.0.0.1:8080 and gRPC 7070
	$(BIN)/python -m deploy.torchserve --mar $(or $(MAR),$(shell ls -t dist/*.mar 2>/dev/null | head -n 1),$(error no dist/*.mar yet: run make package))

mlflow-ui: setup ## Show runs, models and versions on http://127.0.0.1:5000
	$(BIN)/mlflow ui --backend-store-uri $(TRACKING) --host 127.0.0.1 --port 5000

conformance: setup ## Send TASK's requests to the engine and to every server, and compare (BUNDLE=path, default: the newest)
	$(BIN)/python -m deploy.conformance $(if $(BUNDLE),--bundle $(BUNDLE),--task $(TASK))

images: setup ## Build the images of both servers over NAME@champion (or BUNDLE=path); ARGS=--all for registry and training too
	MLFLOW_TRACKING_URI=$(TRACKING) $(BIN)/python -m deploy.images $(or $(BUNDLE),$(NAME)@champion) $(ARGS)

smoke-images: setup ## Build, run, compare, stop and measure the servers' images; TASK or BUNDLE=path, ARGS="--minutes 1"
	MLFLOW_TRACKING_URI=$(TRACKING) $(BIN)/python -m deploy.images.smoke $(if $(BUNDLE),--bundle $(BUNDLE),--task $(TASK)) $(ARGS)

$(VENV)/.bench-installed: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]'
	@touch $@

bench: $(VENV)/.bench-installed ## Measure our servers and their peers over BUNDLE=path, in 80 minutes; TASK, ARGS="--rounds 1"
	$(BIN)/python -m benchmarks.$(TASK).serve --bundle $(or $(BUNDLE),$(error give BUNDLE=runs/<id>/bundle)) $(ARGS)

bench-quick: $(VENV)/.bench-installed ## The same with fewer and shorter loads, in minutes
	$(BIN)/python -m benchmarks.$(TASK).serve --quick --bundle $(or $(BUNDLE),$(error give BUNDLE=runs/<id>/bundle)) $(ARGS)

check: setup ## Lint, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/hadolint deploy/*.Dockerfile
	$(BIN)/ruff format --check .
	$(BIN)/mypy dragoman scoring handlers train tune model_registry deploy benchmarks docs service.py
	$(BIN)/lint-imports

format: setup ## Format the code and sort the imports
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# checkov, with versions of its own; away from .venv, whose versions it contradicts.
$(VENV)/manifest-checks/.installed: deploy/kubernetes/requirements-check.txt $(VENV)/.installed
	$(PYTHON) -m venv --without-pip $(VENV)/manifest-checks
	$(BIN)/pip --python $(VENV)/manifest-checks/bin/python install --quiet --disable-pip-version-check --no-deps --no-compile --requirement $<
	@touch $@

# zensical, away from .venv as well: the site is plain Markdown, and nothing else here needs it.
$(VENV)/docs/.installed: docs/requirements.txt $(VENV)/.installed
	$(PYTHON) -m venv --without-pip $(VENV)/docs
	$(BIN)/pip --python $(VENV)/docs/bin/python install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

docs: $(VENV)/docs/.installed ## Write the reference pages from the code, and build the site of all pages: build/site/index.html
	$(BIN)/python -m docs.reference
	$(BIN)/python -m docs.build_site --zensical $(VENV)/docs/bin/zensical

screenshots: setup ## Take the pages' screenshots anew: MLflow, optuna-dashboard, the Bento server (needs Chromium)
	$(BIN)/python -m docs.screenshots

# Two processes: most tests wait for servers that start, and more of those at once would only slow each other down.
test: setup $(VENV)/manifest-checks/.installed $(VENV)/docs/.installed ## All tests: unit, integration, serving; ARGS="tests/unit -x"
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

lock: ## Write constraints.txt anew from what is installed
	{ head -n 1 constraints.txt; $(BIN)/pip freeze --all --exclude-editable --exclude pip | sed 's/+cpu$$//'; } > constraints.txt.new
	mv constraints.txt.new constraints.txt

clean: ## Remove what the commands made here; keeps .venv
	rm -rf runs dist build dragoman.egg-info bentoml.log torchserve.log mlflow.db mlflow.db-* optuna.db optuna.db-* optuna.db.lock mlruns mlartifacts .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
