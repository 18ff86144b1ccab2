# The commands a person types. `make repro` and `make test` each stand alone on a fresh clone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := .venv-bootstrap/bin/uv
STAMP := $(VENV)/.installed
# Clones share what DVC has made; SRLEDGER_CACHE names another place.
CACHE := $(or $(SRLEDGER_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/srledger)
ACTIVATE := . $(BIN)/activate &&

.PHONY: help env repro ablations test test-long test-kills test-machines machines-deps check bench bench-sweep test-deps weights celeba smoke lock clean
.PHONY: services services-down

help:  ## what can be made
	@grep -hE '^[a-z_-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | column -t -s "$$(printf '\t')"

env: $(STAMP)  ## .venv from requirements.lock (hashes checked)

.venv-bootstrap/.installed: requirements.bootstrap.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v in {(3, 11), (3, 12)} else "srledger needs Python 3.11 or 3.12, found %d.%d. Name one: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv-bootstrap
	.venv-bootstrap/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.bootstrap.lock
	@touch $@

$(STAMP): requirements.lock pyproject.toml .venv-bootstrap/.installed
	test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@mkdir -p .cache
	@$(BIN)/dvc cache dir --quiet --local "$(CACHE)/dvc"
	@touch $@

repro: env  ## everything that is out of date, then the report (dvc repro)
	$(ACTIVATE) srledger config && dvc repro

ablations: env  ## the ablation grid and its report, one stage after another (dvc repro ablations/dvc.yaml)
	$(ACTIVATE) srledger config && dvc repro ablations/dvc.yaml

# Two workers on two cores: a thread each, and none that spins while it waits.
test: env  ## the test suite: no network, no mirror needed
	$(ACTIVATE) OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m 'not slow' tests

test-long: env  ## edits of params.yaml and new plug-ins, each with a run of the graph; ten minutes
	$(ACTIVATE) python -m pytest -n 2 --dist loadfile -m slow tests/stages

test-kills: env  ## kill -9 of trainers, services and workers in the middle of their work; minutes
	$(ACTIVATE) python -m pytest -m slow tests/crash tests/flows/test_server.py tests/flows/test_sweep.py

test-machines: env  ## docs/several-machines.md typed: sshd, PostgreSQL, two workers; needs `make machines-deps`
	$(ACTIVATE) python -m pytest -m slow tests/flows/test_several_machines.py tests/flows/test_remote.py

check: env  ## lint, types, and every committed report rendered again and compared
	$(ACTIVATE) ruff check .
	$(ACTIVATE) ruff format --check .
	$(ACTIVATE) mypy
	$(ACTIVATE) srledger config
	$(ACTIVATE) for report in reports/*/; do srledger report --scale "$$(basename "$$report")" --check || exit 1; done

bench: env  ## speeds of this machine
	$(ACTIVATE) python benchmarks/run.py && python benchmarks/sampling.py && python benchmarks/onestep.py && python benchmarks/tracking.py && python benchmarks/intake.py

bench-sweep: env  ## a sweep with one CPU lease and with two, ten minutes
	$(ACTIVATE) python benchmarks/sweep.py

test-deps:  ## Debian packages that some tests need (Chromium)
	command -v chromium >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

machines-deps:  ## Debian packages that `make test-machines` needs
	ls /usr/sbin/sshd /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq --no-install-recommends openssh-client openssh-server postgresql; }

weights: env  ## published weights that can be downloaded; the list says what is at hand
	$(ACTIVATE) srledger weights --fetch

celeba: env  ## real faces on two cores, hours: needs SRLEDGER_MIRROR; ONLY=row,row runs a part
	$(ACTIVATE) srledger repro --scale celeba_cpu --only "$(ONLY)"

smoke: env  ## the whole graph on 8 images, a minute and a half
	$(ACTIVATE) srledger repro --scale smoke

services: env  ## Prefect's server, MLflow's page and two workers on loopback; prints the addresses
	$(ACTIVATE) srledger services up

services-down: env  ## stops them, and what they run
	$(ACTIVATE) srledger services down

lock: .venv-bootstrap/.installed  ## resolve the dependencies anew
	$(UV) lock --upgrade
	$(UV) export --frozen --no-header --no-emit-project --no-annotate -o requirements.lock > /dev/null

clean:  ## what can be made again: environments and caches, never reports
	rm -rf .venv .venv-bootstrap .pytest_cache .ruff_cache .mypy_cache .hypothesis build
