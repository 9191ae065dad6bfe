#!/bin/sh
# Run the tests of records, formats, sinks, traces and the recorder on other Pythons, with the native
# core built for each; those of the recorder once more with its twin in Python.
#
#   scripts/test_pythons.sh [--within SECONDS] [VERSION...]     3.12 3.13 3.14 3.15 by default
#   scripts/test_pythons.sh --install VERSION PACKAGE...     only puts them into Debian's root
#   scripts/test_pythons.sh --inside COMMAND...              runs a command in there
#
# A test file that imports a third-party package which has no wheel for a version is left out there,
# and the run says which file and why. All else must pass; what failed beside others is run once more
# by itself, as by `make test`.
#
# With `--within`, for CI, a version that cannot be had here is told as not run, with the reason, and
# so is one for which the time is likely too short: the run fails for what the tests or the compiler
# say, and for tests that stand still, and for nothing else. Without, what cannot be had is an error.
#
# A version is looked for on PATH, then among pyenv's; 3.14t is one without the GIL, where there is
# one. Debian's unstable has the rest: as root on a system with apt-get it is unpacked into
# scratch/pythons/sid and run in there, so that nothing is installed on the system but debootstrap.
# What was fetched is kept: a second run starts at once.
set -eu
cd "$(dirname "$0")/.."
repository="$PWD"
cache="$repository/scratch/pythons"
root="$cache/sid"
tests="tests/_base tests/_core tests/formats tests/metrics tests/sinks tests/trace tests/recorder"
slow_tests="tests/_core tests/recorder" # the rest of the slow ones see no more of an interpreter
needed="pytest>=9 pytest-xdist>=3.8 hypothesis>=6.150 setuptools>=80 starlette opentelemetry-sdk"
wanted="anyio jsonschema uvloop"
at_first=300 # seconds; how long a version is thought to take while none has been run
at_most=900  # seconds; what takes longer stands still
within=""
if [ "${1:-}" = --within ]; then
    within="$2"
    shift 2
fi
[ $# -gt 0 ] || set -- 3.12 3.13 3.14 3.15
mkdir -p "$cache"

fail() {
    echo "test-pythons: $*" >&2
    exit 1
}

. scripts/pythons.sh

# Fetch one thing for a version, into the directory of that version.
fetch_one() {
    version="$1"
    shift
    case "$version" in
    *t) abi="cp$(echo "${version%t}" | tr -d .)t" ;;
    *) abi="cp$(echo "$version" | tr -d .)" ;;
    esac
    .venv/bin/python -m pip install --quiet --upgrade --target "$cache/site-$version" --only-binary :all: \
        --python-version "${version%t}" --abi "$abi" --abi abi3 --abi abi3t --abi none \
        "$@" >>"$cache/site-$version.log" 2>&1
}

# Fetch what the tests need for a version, and what some of them import, as far as there are wheels.
fetch() {
    site="$cache/site-$1"
    [ "$(cat "$site/.ready" 2>/dev/null)" = "$needed; $wanted" ] && return
    rm -rf "$site" "$site.log"
    mkdir -p "$site"
    # shellcheck disable=SC2086
    fetch_one "$1" $needed || fail "cannot fetch $needed for Python $1; $site.log says why"
    for package in $wanted; do
        fetch_one "$1" "$package" || echo "$package" >>"$site/.missing"
    done
    echo "$needed; $wanted" >"$site/.ready"
}

# Print pytest's arguments that leave out what imports a package that could not be had.
left_out() {
    [ -e "$cache/site-$1/.missing" ] || return 0
    while read -r package; do
        # shellcheck disable=SC2086
        for file in $(grep -rlE "^ *(import|from) $package\\b" --include='*.py' $tests); do
            echo "test-pythons: no wheel of $package for Python $1: $file is left out" >&2
            echo "--ignore=$file"
        done
    done <"$cache/site-$1/.missing"
}

# Make a tree, build the core in it, and test. The core is not for builds without the GIL.
# shellcheck disable=SC2016
run_tests='set -eu
python="$1"; shift
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/src:$PWD/site"
"$python" setup.py --quiet build_ext --inplace >build.log 2>&1 || { cat build.log >&2; exit 1; }
"$python" -c "
import sys, sysconfig
from tachograph._core import loop, native
free = bool(sysconfig.get_config_var(\"Py_GIL_DISABLED\"))
print(\"== Python\", sys.version.split()[0], \"free-threaded, twin\" if free else \"native core\", flush=True)
sys.exit(any((part is None) is not free for part in (loop, native)))
" || { cat build.log >&2; echo "the native core was not built" >&2; exit 1; }
run() {
    "$python" -m pytest -q -n auto --maxprocesses 8 --dist worksteal --hypothesis-profile quick "$@" || {
        echo "== once more, by themselves"
        "$python" -m pytest -q --last-failed --last-failed-no-failures none --hypothesis-profile quick "$@"
    }
}
code=0
run -m "not slow" '"$tests"' "$@" || code=1
run -m slow '"$slow_tests"' "$@" || code=1
TACHO_PURE=1 run -m "not slow" tests/recorder "$@" || code=1
exit $code
'

# Make sure that a version can be run, and has what the tests need.
prepare() {
    if [ -z "$(find_here "$1")" ]; then
        prepare_debian "$1"
        install_there "$1"
        inside true || fail "cannot run anything in $root: mounts are not allowed here"
    fi
    fetch "$1"
}

# Make a version's tree and test it.
test_one() {
    version="$1"
    python="$(find_here "$version")"
    tree="$cache/tree-$version"
    [ -n "$python" ] || tree="$root/tree-$version"
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -R src tests scripts docs bench examples setup.py pyproject.toml README.md LICENSE "$tree"
    find "$tree" \( -name '*.so' -o -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
    cp -R "$cache/site-$version" "$tree/site"
    printf '%s' "$run_tests" >"$tree/run.sh"
    ignored="$(left_out "$version")"
    # shellcheck disable=SC2086
    if [ -n "$python" ]; then
        timeout "$at_most" sh "$tree/run.sh" "$python" $ignored
    else
        inside timeout "$at_most" sh "/tree-$version/run.sh" "/usr/bin/python$version" $ignored
    fi
}

case "$1" in
--prepare)
    prepare "$2"
    exit
    ;;
--install)
    version="$2"
    shift 2
    prepare_debian "$version"
    install_there "$version"
    inside dpkg --status "$@" >/dev/null 2>&1 || packages install -y --no-install-recommends "$@"
    exit
    ;;
--inside)
    shift
    inside "$@"
    exit
    ;;
esac

now() { date +%s; }

# Whether the time is likely enough for a version; if not, say so.
enough() {
    left=$((begun + within - $(now)))
    [ "$left" -ge "$longest" ] ||
        ! echo "test-pythons: NOT RUN on Python $1: $left s of $within are left, it may take $longest" >&2
}

failed=""
begun="$(now)"
longest="$at_first"
for version in "$@"; do
    if [ -z "$within" ]; then
        prepare "$version"
    else
        enough "$version" || continue
        # In a process of its own: it may hang on a network that is not there.
        if ! timeout "$left" "$repository/scripts/test_pythons.sh" --prepare "$version"; then
            echo "test-pythons: NOT RUN on Python $version: it cannot be had here" >&2
            continue
        fi
        enough "$version" || continue
    fi
    started="$(now)"
    test_one "$version" || failed="$failed $version"
    took=$(($(now) - started))
    [ "$failed" != "${failed% "$version"}" ] || [ "$took" -lt "$longest" ] || longest="$took"
    echo "test-pythons: Python $version took $took s"
done
[ -z "$failed" ] || fail "failed on$failed"
