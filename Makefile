# One entry point, the same words here and in CI. Every target sets itself up.
#
#   make demo    a service under real traffic, and a question answered from its records  (< 1 min)
#   make check   format, lint, types, fast tests                                          (< 1 min)
#   make test    everything: check, slow tests, the generated service's own tests         (< 15 min)
#   make bench   measure; prints ratios, decides nothing
#   make sanitize  the native core under AddressSanitizer and UBSan                         (< 2 min)
#   make fuzz    any bytes against the readers of traces, for FUZZ_SECONDS (60)
#   make soak    the highest rate for SECONDS=60: bounded memory, everything accounted for
#   make conserve  REQUESTS=50000 across a SIGTERM: one record each
#   make test-pythons  the parts near the interpreter on other Pythons, 3.12 to 3.15         (< 2 min each)
#   make load    sustained traffic through a forwarding service
#   make format  rewrite the sources as `check` wants them
#   make clean   remove what the targets made

PYTHON ?= python3
READY  := .venv/.ready
RUN    := .venv/bin/python

.DEFAULT_GOAL := check
.PHONY: demo check lint types fast test sanitize fuzz bench soak conserve test-pythons load format clean setup

setup: $(READY)

$(READY): pyproject.toml setup.py scripts/setup.sh
	PYTHON="$(PYTHON)" scripts/setup.sh

demo: $(READY)
	$(RUN) scripts/demo.py

check: lint types fast

lint: $(READY)
	$(RUN) -m ruff format --check --quiet .
	$(RUN) -m ruff check --quiet .

types: $(READY)
	$(RUN) -m mypy
	$(RUN) -m pyright --pythonpath $(RUN)

fast: $(READY)
	$(RUN) -m pytest -q -m "not slow"

test: check
	$(RUN) -m pytest -q -m slow
	TACHO_PURE=1 $(RUN) -m pytest -q tests/formats tests/metrics tests/sinks tests/recorder
	scripts/sanitize.sh
	$(RUN) scripts/test_service.py

sanitize: $(READY)
	scripts/sanitize.sh

# Its fuzzer has no wheel for each Python, so it is no part of the set-up.
fuzz: $(READY)
	$(RUN) -m pip install --quiet --group fuzz
	$(RUN) fuzz/trace.py

bench: $(READY)
	@set -e; for bench in bench/[a-z]*.py; do echo "== $$bench"; $(RUN) $$bench; done

soak: $(READY)
	$(RUN) scripts/soak_records.py
	TACHO_PURE=1 $(RUN) scripts/soak_records.py
	$(RUN) scripts/soak_recorder.py
	TACHO_PURE=1 $(RUN) scripts/soak_recorder.py --rate 10000

conserve: $(READY)
	$(RUN) scripts/conserve.py

test-pythons: $(READY)
	scripts/test_pythons.sh

load: $(READY)
	$(RUN) scripts/load.py

format: $(READY)
	$(RUN) -m ruff check --fix --quiet .
	$(RUN) -m ruff format --quiet .

clean:
	rm -rf .venv build dist scratch .setup.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
