# Everything here sets itself up: the first call makes .venv, later ones find it done.
#   make demo                  a whole instance with two workers and runs to look at (ARGS=--exit: show it, then stop)
#   make test                  every test, PostgreSQL included
#   make unit                  the same without real processes and browsers (ARGS='-k schedule' narrows)
#   make browser               the website in Chromium, which is installed if it is not here and we are root
#   make screenshots           a picture of every page, into screenshots/
#   make simulate              many simulated worlds under faults (SEEDS=1000; ARGS='--seeds 257' repeats one)
#   make faults                every real fault, the long ones too: about an hour
#   make soak                  half an hour of runs under faults, into docs/soak.md (MINUTES=30 RUNS=10000 WORKERS=20)
#   make check                 lint, format, types, floors
#   make cores                 every branch of the pure cores, tried by the tests about them (TIMES=20 as many examples)
#   make fuzz                  many made-up requests against the API, others each time (EXAMPLES=100 of each kind)
#   make bench                 speed and memory beside floors and peers, into docs/benchmarks.md (ARGS=--quick: a try)
#   make docs                  the pages that are generated
#   make clean                 forget .venv and all caches
#   make ... PYTHON=python3.13 another interpreter (3.11 or later)

PYTHON ?= python3
ARGS ?=
EXAMPLES ?= 100
MINUTES ?= 30
RUNS ?= 10000
SEEDS ?= 1000
TIMES ?= 1
WORKERS ?= 20

SERVER := .venv/.installed-server
DEVELOPMENT := .venv/.installed-development
SLOW_TESTS := $(wildcard tests/journeys tests/faults)
BROWSER_TESTS := tests/website/browser
SIMULATION_TESTS := tests/simulation
CORE_TESTS := tests/properties tests/core/protocol \
	$(addprefix tests/core/test_,lifecycle.py logs.py matching.py demands.py cron.py cron_clock_changes.py schedule_calendar.py schedule_preview.py expected.py) \
	tests/core/pipeline tests/core/test_formatter.py $(addprefix tests/core/definition/test_,schedule_fields.py rule_checks.py conditions_of_elements.py element_values.py) \
	$(addprefix tests/repository/test_,schedule_page.py pipeline_page.py) tests/website/test_pipeline_graph.py \
	$(addprefix tests/master/test_,passed_instants.py reconcile.py report.py prefetch.py pipelines.py planning.py demands.py quarantine.py retrying.py) \
	$(addprefix tests/worker/test_,engine_outbox.py log_source.py masking.py)

# --no-print-directory keeps "Entering directory" out of what people read.
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := demo
.PHONY: demo test unit simulation simulate journeys faults soak browser screenshots check cores fuzz bench docs clean

demo: $(SERVER)
	@.venv/bin/orchestra up --demo $(ARGS)

# All parts run even if the first one fails, so that one call tells everything.
test: $(DEVELOPMENT)
	@status=0; for part in unit simulation journeys browser; do $(MAKE) $$part || status=1; done; exit $$status

unit: $(DEVELOPMENT)
	@.venv/bin/pytest -n 3 --dist worksteal $(SLOW_TESTS:%=--ignore=%) --ignore=$(BROWSER_TESTS) --ignore=$(SIMULATION_TESTS) tests $(ARGS)

# Two at a time: some of its tests take all processors by themselves, and some but one.
simulation: $(DEVELOPMENT)
	@.venv/bin/pytest -n 2 --dist worksteal --timeout 1200 $(SIMULATION_TESTS) $(ARGS)

simulate: $(DEVELOPMENT)
	@.venv/bin/python -m tests.simulation $(SEEDS) --every-fault $(ARGS)

# Journeys mostly wait for real processes, so that more of them than processors run at a time.
journeys: $(DEVELOPMENT)
ifneq ($(SLOW_TESTS),)
	@.ci/set-up-browser
	@.venv/bin/pytest -n 4 --dist loadfile -m 'not long' $(SLOW_TESTS) $(ARGS)
endif

# One after the other: what they measure is what the processors are for.
faults: $(DEVELOPMENT)
	@.venv/bin/pytest tests/faults $(ARGS)

soak: $(DEVELOPMENT)
	@.venv/bin/python -m tests.faults.soak --minutes $(MINUTES) --runs $(RUNS) --workers $(WORKERS) $(ARGS)

# A process has an instance and a browser of its own: not more of them than processors.
browser: $(DEVELOPMENT)
	@.ci/set-up-browser
	@.venv/bin/pytest -n 2 --dist worksteal $(BROWSER_TESTS) $(ARGS)

screenshots: $(DEVELOPMENT)
	@.ci/set-up-browser
	@.venv/bin/python -m tests.website.browser.screenshots

check: $(DEVELOPMENT)
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports --no-logo

cores: $(DEVELOPMENT)
	@ORCHESTRA_PROPERTY_TIMES=$(TIMES) .venv/bin/coverage run --rcfile tests/properties/coverage.ini -m pytest --timeout 3600 $(CORE_TESTS) $(ARGS)
	@.venv/bin/coverage report --rcfile tests/properties/coverage.ini

fuzz: $(DEVELOPMENT)
	@ORCHESTRA_FUZZ_EXAMPLES=$(EXAMPLES) .venv/bin/pytest --timeout 3600 tests/service/test_fuzz.py $(ARGS)

# What may be installed to compare with is installed first; what may not makes its row, and so the whole, fail.
bench: $(DEVELOPMENT)
	@.ci/set-up-peers "$(PYTHON)"
	@.venv/bin/python -m benchmarks $(ARGS)

docs: $(DEVELOPMENT)
	@.venv/bin/python -m docs.generate_lifecycle
	@.venv/bin/python -m docs.generate_openapi

clean:
	@rm -rf .venv .venv-peers .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(SERVER): pyproject.toml .ci/set-up
	@.ci/set-up "$(PYTHON)" server $@

$(DEVELOPMENT): pyproject.toml .ci/set-up
	@.ci/set-up "$(PYTHON)" server,postgres,development $(SERVER) $@
