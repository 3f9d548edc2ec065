# Two commands for a newcomer: `make demo` and `make test`. Everything else: `make help`.

PYTHON ?= python3
# Threads that wait must not spin: on busy cores that is several times slower. Tests run in two
# processes of one thread each; the demo chooses its threads itself.
export OMP_WAIT_POLICY = PASSIVE
export GOMP_SPINCOUNT = 0
test test-extras: export OMP_NUM_THREADS = 1

# An environment is stale when what it was made from has changed: its stamp bears the hash.
stamp = .made-$(shell { cat pyproject.toml constraints/$(1).txt; $(PYTHON) --version; } | cksum | cut -d ' ' -f 1)
DEMO := .venv/$(call stamp,cpu)
TEST := .venv-test/$(call stamp,cpu)
EXTRAS := .venv-extras/$(call stamp,full)

.DEFAULT_GOAL := help
.PHONY: help demo test test-extras lint format types layers docs readme check clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# $(call environment,folder,what to install,constraints)
define environment
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed: make PYTHON=python3.12 ..." >&2; exit 1; }
	rm -rf $(filter-out .venv,$(1)) $(dir $(wildcard $(1)/.made-*))
	$(PYTHON) -m venv $(1)
	@echo "Installing into $(1); this takes a minute or two."
	$(1)/bin/python -m pip install --quiet --constraint constraints/$(3).txt $(2)
endef

$(DEMO):
	$(call environment,.venv,--editable .,cpu)
	@touch $@

$(TEST):
	$(call environment,.venv-test,--editable '.[dev]',cpu)
	@touch $@

# torchvision and timm import only beside the torch that they were built for.
$(EXTRAS):
	$(call environment,.venv-extras,--editable '.[dev$(comma)vision]',full) \
	  || { echo "The newest torch, torchvision and timm cannot be had: constraints/full.txt" >&2; exit 1; }
	@touch $@
comma := ,

demo: $(DEMO) ## install into .venv and distil a digit classifier without its data (minutes)
	rm -rf runs/demo
	.venv/bin/python -m bequest run ssd-kd --folder runs/demo
	@echo "The report: runs/demo/report.html"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then .venv/bin/python -m webbrowser runs/demo/report.html; fi

test: $(TEST) ## the whole suite in a fresh environment (.venv-test): CPU torch, no torchvision
	.venv-test/bin/python -m pytest -n 2 $(ARGS)

test-extras: $(EXTRAS) ## what needs torchvision and timm, in .venv-extras (5 GB and more)
	.venv-extras/bin/python -m pytest -n 2 -m extras $(ARGS)

lint: $(TEST) ## style, by ruff
	.venv-test/bin/ruff check
	.venv-test/bin/ruff format --check

format: $(TEST) ## mends what ruff can mend
	.venv-test/bin/ruff check --fix
	.venv-test/bin/ruff format

types: $(TEST) ## types, by mypy
	.venv-test/bin/mypy

layers: $(TEST) ## imports point down only, by import-linter
	.venv-test/bin/lint-imports

docs: $(TEST) ## the site, into site/
	NO_MKDOCS_2_WARNING=1 .venv-test/bin/mkdocs build --strict --quiet

readme: $(TEST) ## the README's table of methods, from results/
	.venv-test/bin/python -m bequest.report.readme_table README.md results

check: lint types layers docs ## all but the tests

clean: ## environments, caches and built pages; runs/ stays
	rm -rf $(dir $(wildcard .venv*/.made-*)) site build dist .*_cache .hypothesis
