BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest
STAMP := .venv/fingerprint
# Tests wait for most of their time: with three processes they use half of two processors.
TEST_PROCESSES ?= 4

.PHONY: env demo up test tests check format bench chaos compose-up compose-down docs

env: $(STAMP)                           ## .venv with the mlmesh command in it
	@:

$(STAMP): requirements.lock pyproject.toml deploy/env.sh
	@deploy/env.sh
	@touch $@

demo: env                               ## a module from push to prediction, on this machine
	@$(BIN)/python -m deploy.demo.run

up: env                                 ## the five services in one process
	@$(BIN)/mlmesh up

check: env                              ## format, lint, types, import contracts, names, changelog
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy services libs deploy tests benchmarks
	$(BIN)/lint-imports
	$(PYTEST) -q tests/style tests/deploy/test_release.py

format: env
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: env                               ## the same and every test, on real servers that it brings up itself
	@$(MAKE) --no-print-directory --jobs 2 check tests

# Compiled first: processes that start together would each compile the same files.
tests: env
	@$(BIN)/python -m compileall -q services libs deploy tests benchmarks
	$(PYTEST) -n $(TEST_PROCESSES)

bench: env                              ## figures, as ratios against a limit in the same run
	@$(BIN)/python -m benchmarks

chaos: env                              ## what happens when parts fail
	$(PYTEST) tests/chaos

compose-up: env                         ## the mesh on PostgreSQL, RabbitMQ, MinIO and Docker
	@deploy/compose.sh up

compose-down:
	@deploy/compose.sh down

docs: env                               ## every example and link in the documentation, checked
	$(PYTEST) tests/docs
