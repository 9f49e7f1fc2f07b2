# Two commands matter: `make run` and `make test`. Both set up what they need.
# Which Python makes the environment: an optimised one is sought where none is named.
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.tocsin-setup
# Files for browsers, from a machine with a net: make setup ASSETS=FILE
ASSETS ?=
ASSETS_TRIED := var/assets/.tried

.PHONY: help setup assets assets-archive peers run test proof unit check fuzz load bench clean
.DEFAULT_GOAL := help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24

setup: $(STAMP) $(if $(ASSETS),assets,$(ASSETS_TRIED)) ## make .venv with the pinned dependencies, fetch the files for browsers

$(STAMP): requirements-dev.lock pyproject.toml config/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh config/setup.sh
	@touch $(STAMP)

# Tried once a version: a machine without a net waits for it no second time, and `make assets` tries again.
$(ASSETS_TRIED): config/assets/package-lock.json config/assets/requirements.lock config/assets.sh gateway/operations/assets.list | $(STAMP)
	@mkdir -p $(@D); VENV="$(VENV)" sh config/assets.sh || true
	@touch $@

assets: $(STAMP) ## fetch the files for browsers again, or take them from ASSETS=FILE
	@VENV="$(VENV)" ASSETS="$(ASSETS)" sh config/assets.sh
	@touch $(ASSETS_TRIED)

assets-archive: setup ## var/tocsin-assets.tar.gz: the files for browsers, for a machine without any net
	@$(BIN)/python -m gateway.operations.assets archive var/assets var/tocsin-assets.tar.gz
	@echo "var/tocsin-assets.tar.gz: there, make setup ASSETS=tocsin-assets.tar.gz"

peers: setup ## install the peers that the tests talk to (PostgreSQL, Postfix, nginx, Caddy, node's smpp, Chromium)
	@sh config/peers.sh

run: setup ## the demonstration: a gateway, 300 members, sinks, one alert, its report
	@$(BIN)/tocsin demo

test: peers ## the whole suite, and how many statements of the seed it has shown
	@mkdir -p var; rm -f var/shown; status=0; \
		SHOWN=var/shown $(BIN)/pytest -n 2 --durations=30 -m "not slow" || status=1; \
		SHOWN=var/shown $(BIN)/pytest --durations=30 -m slow || status=1; \
		$(BIN)/python -m tests.acceptance.statements var/shown || status=1; exit $$status

proof: peers ## the proofs that take too long for every run: attacks for half a minute each, a million deliveries cleared
	@ATTACK_SECONDS=30 $(BIN)/pytest -s -n 0 --timeout 600 tests/acceptance/test_attacks.py
	@CLEARED_DELIVERIES=1000000 $(BIN)/pytest -s -n 0 tests/acceptance/test_clearing.py

unit: setup ## the fast part of the suite
	@$(BIN)/pytest -n 2 -m "not slow and not peer"

load: setup ## under load: SCENARIO=a to g, SECONDS=600, SIZE=, FLOORS=told, PROCESSES=1, LANES="sms email", JSON=file, SVG=file; fails on a missed promise
	@$(BIN)/python -m loadtest.run --scenario $(or $(SCENARIO),a) $(if $(SECONDS),--seconds $(SECONDS)) \
		$(if $(SIZE),--size $(SIZE)) $(if $(FLOORS),--floors $(FLOORS)) $(if $(PROCESSES),--processes $(PROCESSES)) $(if $(LANES),--lanes "$(LANES)") $(if $(JSON),--json $(JSON)) $(if $(SVG),--svg $(SVG))

# A peer that cannot be installed is a line that is skipped, not a bench that stops.
bench: setup ## the gateway beside its peers in one run, some 8 minutes; ARGS="--quick", "--only sms,email", "--json FILE"
	@sh config/peers.sh bench || true
	@$(BIN)/python -m loadtest.bench $(ARGS)

fuzz: setup ## hostile input for SECONDS=60: CAP documents; SMPP, SMTP replies, bounces, JSON bodies, seed files; the API by its document
	@sh config/peers.sh
	@status=0; for part in tests.cap.fuzz tests.fuzz.targets; do \
		$(BIN)/python -m $$part --seconds $$(( $(or $(SECONDS),60) / 2 )) || status=1; done; \
		SCHEMATHESIS_SECONDS=$(or $(SECONDS),60) SCHEMATHESIS_SEED=$$(date +%s) $(BIN)/pytest -q -n 0 \
			tests/acceptance/test_api_document.py -k makes_up || status=1; exit $$status

check: setup ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

clean: ## remove .venv, caches and the demonstration's data
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache var node_modules
