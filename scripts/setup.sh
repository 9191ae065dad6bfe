#!/bin/sh
# Make .venv with everything that the other targets need. `make` calls this when pyproject.toml is
# newer than .venv/.ready; calling it twice does no harm.
set -eu
cd "$(dirname "$0")/.."

PYTHON="${PYTHON:-python3}"

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Two targets started at once (or two shells) take turns.
if command -v flock >/dev/null 2>&1 && [ -z "${TACHOGRAPH_SETUP_LOCKED:-}" ]; then
    TACHOGRAPH_SETUP_LOCKED=1 exec flock .setup.lock "$0" "$@"
fi

command -v "$PYTHON" >/dev/null 2>&1 || fail "expected Python 3.11 or newer as \`$PYTHON\`, found none. Name one: make PYTHON=/path/to/python3"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "expected Python 3.11 or newer, \`$PYTHON\` is $("$PYTHON" --version). Name another: make PYTHON=/path/to/python3"

# Debian keeps venv and the headers apart from the interpreter.
if ! "$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing python3-venv and python3-dev"
        { apt-get install -y -q python3-venv python3-dev || { apt-get update -q && apt-get install -y -q python3-venv python3-dev; }; } >/dev/null
    else
        fail "\`$PYTHON\` has no venv module. On Debian or Ubuntu: sudo apt-get install python3-venv python3-dev"
    fi
fi

# The README is tested as it stands, and it calls curl.
if ! command -v curl >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "setup: installing curl"
        { apt-get install -y -q curl || { apt-get update -q && apt-get install -y -q curl; }; } >/dev/null
    else
        echo "setup: curl is missing; \`make test\` needs it for the README" >&2
    fi
fi

# A virtual environment whose interpreter went away, or is another version, is made anew.
want="$("$PYTHON" -c 'import sys; print(*sys.version_info[:2])')"
have="$(.venv/bin/python -c 'import sys; print(*sys.version_info[:2])' 2>/dev/null || true)"
if [ "$want" != "$have" ]; then
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi

# Dependency groups need pip 25.1.
.venv/bin/python -m pip install --quiet --upgrade "pip>=25.1"
.venv/bin/python -m pip install --quiet --group dev --editable ".[all]"
touch .venv/.ready
echo "setup: .venv is ready ($(.venv/bin/python --version))"
