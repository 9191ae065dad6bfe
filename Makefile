# One entry point, the same words here and in CI. Every target sets itself up.
#
#   make demo    a service under real traffic, and a question answered from its records  (< 1 min)
#   make check   format, lint, types, fast tests                                          (< 1 min)
#   make test    everything: check, slow tests, the generated service's own tests         (< 15 min)
#   make bench   measure; prints ratios, decides nothing
#   make bench-pythons  the recorder's on other Pythons, 3.12 to 3.15               (< 10 min each)
#   make sanitize  the native core under AddressSanitizer and UBSan                         (< 2 min)
#   make fuzz    any bytes against the readers of traces, for FUZZ_SECONDS (60)
#   make soak    the highest rate, the recorder for 20 minutes: memory flat, everything accounted for
#   make conserve  REQUESTS=50000 across a SIGTERM: one record each
#   make test-pythons  all but service and tools on other Pythons, 3.12 to 3.15           (< 25 min)
#   make test-peers  other projects' own tests with the recorder and without  (< 10 min each suite)
#   make load    sustained traffic through a forwarding service
#   make format  rewrite the sources as `check` wants them
#   make clean   remove what the targets made

PYTHON ?= python3
READY  := .venv/.ready
RUN    := .venv/bin/python

# Tests know nothing of each other, so they share the processors there are.
PYTEST := $(RUN) -m pytest -q -n auto --maxprocesses 8 --dist worksteal

# Some tests wait for real clocks, which a machine with too much to do may fail. What failed beside
# others is run once more by itself, and said to be; what fails then has failed.
AGAIN := $(RUN) -m pytest -q --last-failed --last-failed-no-failures none

# A test file is rewritten for its assertions, which takes longer than most tests: once, not each time.
unexport PYTHONDONTWRITEBYTECODE

# What has a twin in Python.
TWINS := tests/formats tests/metrics tests/sinks tests/recorder

.DEFAULT_GOAL := check
.PHONY: demo check lint types mypy pyright fast test sanitize fuzz bench bench-pythons soak conserve test-pythons test-peers load format clean setup

setup: $(READY)

$(READY): pyproject.toml setup.py scripts/setup.sh
	PYTHON="$(PYTHON)" scripts/setup.sh

demo: $(READY)
	$(RUN) scripts/demo.py

# The checks are several programs of one thread each: side by side they take half as long.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --jobs 3 --output-sync=target

check: $(READY)
	@$(SIDE_BY_SIDE) lint pyright mypy fast

lint: $(READY)
	$(RUN) -m ruff format --check --quiet .
	$(RUN) -m ruff check --quiet .

types: $(READY)
	@$(SIDE_BY_SIDE) pyright mypy

mypy: $(READY)
	$(RUN) -m mypy

pyright: $(READY)
	$(RUN) -m pyright --pythonpath $(RUN)

fast: $(READY)
	$(PYTEST) -m "not slow" --hypothesis-profile quick

test: lint types
	$(PYTEST) || { echo "== once more, by themselves"; $(AGAIN); }
	TACHO_PURE=1 $(PYTEST) $(TWINS) || { echo "== once more, by themselves"; TACHO_PURE=1 $(AGAIN) $(TWINS); }
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

bench-pythons: $(READY)
	scripts/bench_pythons.sh

soak: $(READY)
	$(RUN) scripts/soak_records.py
	TACHO_PURE=1 $(RUN) scripts/soak_records.py
	$(RUN) scripts/soak_recorder.py
	TACHO_PURE=1 $(RUN) scripts/soak_recorder.py --rate 10000 --seconds $(or $(SECONDS),60)
	$(RUN) scripts/soak_recorder.py --seconds 10 --rate 0
	$(RUN) scripts/soak_recorder.py --seconds 15 --stall 5

conserve: $(READY)
	$(RUN) scripts/conserve.py

# PYTHONS="3.14 3.15" chooses; --within SECONDS leaves out what would take longer.
test-pythons: $(READY)
	scripts/test_pythons.sh $(PYTHONS)

# CPython's, uvloop's, anyio's, Starlette's and aiohttp's; PEERS="--suite cpython --python 3.12".
test-peers: $(READY)
	$(RUN) scripts/test_peers.py $(PEERS)

load: $(READY)
	$(RUN) scripts/load.py

format: $(READY)
	$(RUN) -m ruff check --fix --quiet .
	$(RUN) -m ruff format --quiet .

clean:
	rm -rf .venv build dist scratch .setup.lock .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find src -name '*.egg-info' -type d -prune -exec rm -rf {} +
