# Everything a developer runs. `make help` lists it; `## …` behind a target is its help text.
.DEFAULT_GOAL := help
.NOTPARALLEL:
SHELL := /bin/bash
# Containers often set it. Without bytecode each start of a program compiles all that it imports.
unexport PYTHONDONTWRITEBYTECODE

VENV    := .venv
BIN     := $(VENV)/bin
# Keystone, Neutron and tempest: what is tested with, kept apart from what is tested.
OPENSTACK := .venv-openstack
UV      := $(BIN)/uv
# Debian's own Python where there is one: it is what the distribution supports and what root runs.
PYTHON  ?= $$(test -x /usr/bin/python3.11 && echo /usr/bin/python3.11 || command -v python3)
INSTALL := $(UV) pip install --quiet --python $(BIN)/python
LOCK    := $(UV) --no-config pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(if $(UPGRADE),--upgrade)
DOCS    := $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky -c docs
LIBNFS  := /usr/include/nfsc/libnfs.h
# Tests run in three processes, each file in one of them; docs/adr/0051-how-tests-run.md.
JOBS    ?= 3
TOGETHER = --numprocesses=$(JOBS) --dist=loadfile --no-loadscope-reorder
SAMPLED  = $(if $(SAMPLE),ABACA_SAMPLE=$(SAMPLE)) $(if $(SEED),ABACA_SEED=$(SEED))

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { \
	    line = sprintf("  make %-14s", $$1); \
	    for (n = split($$2, word, " "); i < n; line = line " " word[i]) \
	        if (length(line " " word[++i]) > 100) { print line; line = sprintf("%21s", "") } \
	    print line; i = 0 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: system venv ## show the main job end to end on this machine (as root, on Debian)
	@$(BIN)/abaca demo $(if $(KEEP),--keep)

.PHONY: demo-openstack
demo-openstack: system venv venv-openstack ## the same beside a real Keystone and Neutron, on flat networks of Neutron's (KEEP=1: stays until Ctrl-C)
	@$(BIN)/python -m tests.openstack.demo $(if $(KEEP),--keep)

.PHONY: demo-hosts
demo-hosts: system-ceph venv ## two played hosts, a real Ceph, and a client that goes on while its server is moved and while its host dies (as root; KEEP=1: stays until Ctrl-C)
	@$(BIN)/python -m tests.hosts_demo $(if $(KEEP),--keep)

.PHONY: test
test: system venv venv-openstack ## run what this machine can run, of large tables a sample; says what it skips and why; what failed beside others runs once more, alone (SAMPLE=n: samples n times as large; SEED=…; JOBS=n; MINUTES=n: at most)
	@scripts/system-packages ceph || echo "test: no Ceph could be installed, so the tests of CephFS are skipped"
	@$(SAMPLED) $(BIN)/python -m tests.run $(TOGETHER) --thinned $(if $(MINUTES),--session-timeout=$$(($(MINUTES) * 60))) -rfEs --durations=25

.PHONY: coverage
coverage: system venv ## run the tests and print which share of the lines they ran, by module (TESTS="tests/unit …": only those)
	@rm -f .coverage .coverage.*
	@$(SAMPLED) $(BIN)/coverage run -m pytest $(TOGETHER) $(or $(TESTS),tests/unit tests/api tests/operations tests/migrations); \
	    status=$$?; $(BIN)/coverage combine --quiet; $(BIN)/coverage report; exit $$status

.PHONY: check
check: venv ## lint, types, layers (all by tests/tidy) and the quick tests: three minutes on two quiet cores
	@$(BIN)/pytest $(TOGETHER) --databases=sqlite tests/tidy tests/unit tests/api -m "not slow"

.PHONY: tempest
tempest: system venv venv-openstack ## run manila-tempest-plugin with a real Keystone: a sample (ALL=1: everything, with share servers and without; ONLY=networks|plain|roles; DATABASE=postgresql; MODULES="…"; DETAILS=FILE)
	@$(BIN)/python -m tests.tempest $(if $(ALL),--all) $(if $(ONLY),--only $(ONLY)) $(if $(filter postgresql,$(DATABASE)),--postgresql) $(if $(DETAILS),--details $(DETAILS)) $(MODULES)

.PHONY: walk
walk: venv ## kill the worker at every step of every workflow, and let every step fail with every error; on Linux too (tests run a sample)
	@ABACA_SAMPLE=all $(BIN)/pytest $(TOGETHER) tests/operations/test_walks.py tests/operations/test_walk_add_subnet.py \
	    tests/operations/test_walk_linux.py tests/operations/test_walk_cephfs.py \
	    tests/operations/test_failures.py tests/operations/test_failures_linux.py \
	    tests/operations/test_next_pool.py::test_killed_anywhere_it_ends_the_same \
	    tests/operations/test_share_server_moves.py

.PHONY: crash
crash: system venv ## random operations while API, worker and PostgreSQL are killed at random, and a report (SEED=n MINUTES=m FORM=fake|linux|ceph)
	@$(BIN)/python -m tests.crash $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(FORM),--form $(FORM))

.PHONY: attack
attack: system venv ## attack a running service as hostile clients would, while honest ones are watched, and print a table (as root; ONLY="name …")
	@$(BIN)/python -m tests.attack $(ONLY)

.PHONY: fuzz
fuzz: venv ## send tens of thousands of odd requests and of broken bytes, from all callers, at all versions (N=100: for each route)
	@ABACA_FUZZ=$(or $(N),100) $(BIN)/pytest -s tests/api/test_fuzz.py tests/api/test_fuzz_bytes.py

.PHONY: crowd
crowd: venv ## clients ask the API at once for whatever they can, and what goes wrong is made short (N=100: histories on each kind of database)
	@ABACA_CROWD=$(or $(N),100) $(BIN)/pytest -s tests/operations/test_concurrent_clients.py

.PHONY: neutron-load
neutron-load: venv venv-openstack ## ask a Neutron on MariaDB for the addresses of fifty servers at once (needs Debian's mariadb-server)
	@ABACA_NEUTRON_LOAD=yes $(BIN)/pytest -rfEs tests/contracts/networks/test_neutron_concurrency.py

.PHONY: breakages
breakages: venv ## break the code on purpose in a copy, one thing at a time, and see the tests fail (ROWS="C7 D3": only those)
	@$(BIN)/python -m tests.breakages $(ROWS)

.PHONY: api-reference
api-reference: venv ## make docs/reference/api-reference.md and docs/reference/api-access.md from the routes, field tables, bodies and rules in the code
	@$(BIN)/python -m abaca.api.reference > docs/reference/api-reference.md
	@$(BIN)/python -m abaca.api.access > docs/reference/api-access.md

.PHONY: samples
samples: venv ## make docs/reference/samples from the options and policy rules in the code, by oslo.config's and oslo.policy's generators
	@mkdir -p docs/reference/samples
	@$(BIN)/oslo-config-generator --namespace abaca --output-file docs/reference/samples/abaca.conf
	@$(BIN)/oslopolicy-sample-generator --namespace abaca --output-file docs/reference/samples/policy.yaml

.PHONY: docs
docs: venv ## build the documentation as a site in site/: open site/index.html (what a warning is about has to be mended)
	@$(DOCS) . site
	@echo "docs: open site/index.html"

.PHONY: pictures
pictures: venv ## draw docs/pictures/*.svg anew from their text (needs Debian's graphviz)
	@$(BIN)/python scripts/pictures.py

.PHONY: page-pictures
page-pictures: system venv ## take the pictures of the web page in docs/pictures anew, by the test that plays the demonstration there (as root; needs Debian's chromium)
	@ABACA_PICTURES=docs/pictures $(BIN)/pytest -q --databases=sqlite tests/page/test_story.py

.PHONY: notices
notices: venv ## make THIRD-PARTY-NOTICES.md from the runtime lock and the metadata of what is installed
	@$(BIN)/python scripts/notices.py > THIRD-PARTY-NOTICES.md

.PHONY: release
release: venv ## make wheel, sdist, the changes of this version and their hashes in dist/; nothing is uploaded
	@$(BIN)/python scripts/release.py dist

.PHONY: deb
deb: venv ## make the Debian package in dist/ (on Debian 12, with debhelper)
	@$(BIN)/python -m scripts.debian_package dist

.PHONY: man
man: venv ## make the manual pages and the shell completion in build/man: man -l build/man/usr/share/man/man1/abaca.1
	@$(BIN)/python -m scripts.man_pages build/man

.PHONY: hooks
hooks: venv ## run lint, format, types, layers and tidy before each commit in this clone (needs no net)
	@$(BIN)/pre-commit install

.PHONY: bench
bench: system venv ## measure Abaca on SQLite and PostgreSQL: tables, also below bench/results (QUICK=1: two minutes)
	@$(BIN)/python -m bench $(if $(QUICK),--quick)

.PHONY: bench-peer
bench-peer: system venv ## measure upstream Manila with the same client, then Abaca, and print the ratios (root installs what it needs)
	@$(BIN)/python -m bench peer $(if $(QUICK),--quick)

.PHONY: fresh
fresh: ## try the README on a bare Debian 12, made by debootstrap for this (as root; COMMAND="make demo"; FOLDER=where it stays)
	@scripts/fresh-debian "$(FOLDER)" "$(or $(COMMAND),make demo)"

.PHONY: lint
lint: venv ## lint, types and layers alone, with the tools' own output
	@$(BIN)/ruff check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

.PHONY: format
format: venv ## sort imports and format, and mend what the linter can mend
	@$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format

.PHONY: system
system: ## install the Debian packages that are missing and make the user abaca (as root; otherwise names them)
	@scripts/system-packages

.PHONY: system-ceph
system-ceph: ## install a Ceph of Debian's, too, for pools in CephFS and their tests (254 MB); make test does it, too
	@scripts/system-packages ceph

.PHONY: venv
venv: $(VENV)/.installed $(VENV)/.installed-libnfs ## make the virtual environment from the lock, or bring it up to date

$(VENV)/.installed: requirements/dev.lock requirements/uv.lock pyproject.toml
	@echo "venv: installing requirements/dev.lock into $(VENV)"
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.lock
	@$(INSTALL) --require-hashes --excludes <(echo libnfs) -r requirements/dev.lock
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# libnfs has no wheels: it is built, by the locked setuptools, against Debian's headers.
$(VENV)/.installed-libnfs: $(VENV)/.installed
	@if test -e $(LIBNFS); then \
	    $(INSTALL) --require-hashes --no-build-isolation -r requirements/dev.lock && touch $@; \
	else echo "venv: $(LIBNFS) is missing (Debian: libnfs-dev); tests that speak NFS will be skipped"; fi

.PHONY: venv-openstack
venv-openstack: $(OPENSTACK)/.installed ## make the virtual environment with Keystone, Neutron and tempest, which tests run beside Abaca

$(OPENSTACK)/.installed: $(VENV)/.installed requirements/openstack.lock
	@echo "venv: installing requirements/openstack.lock into $(OPENSTACK)"
	@test -x $(OPENSTACK)/bin/python || "$(PYTHON)" -m venv $(OPENSTACK)
	@$(UV) pip install --quiet --python $(OPENSTACK)/bin/python --require-hashes -r requirements/openstack.lock
	@touch $@

.PHONY: lock
lock: ## write requirements/*.lock anew (UPGRADE=1: with the newest releases)
	@$(LOCK) pyproject.toml -o requirements/runtime.lock
	@$(LOCK) pyproject.toml --extra client --extra openstack --extra dev --extra docs -c requirements/runtime.lock -o requirements/dev.lock
	@echo uv | $(LOCK) - --no-annotate -c requirements/dev.lock -o requirements/uv.lock
	@$(LOCK) requirements/openstack.in -o requirements/openstack.lock
	@! grep -nE '://|--index|--extra-index|--find-links|(^|[ =])/' requirements/*.lock || { echo "lock: an address or a path got in"; exit 1; }

.PHONY: clean
clean: ## remove the virtual environment and every cache
	@rm -rf $(VENV) $(OPENSTACK) dist site .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.*
	@find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
