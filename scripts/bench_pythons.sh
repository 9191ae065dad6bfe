#!/bin/sh
# Measure what the recorder costs on other Pythons, with the native core built for each.
#
#   scripts/bench_pythons.sh [VERSION...] [-- ARGUMENT...]     3.12 3.13 3.14 3.15 by default
#
# The empty step and the generated service, as bench/recorder.py measures them; ARGUMENTs are its
# own, and by default `--workloads "empty step" --apps generated`. Pythons come from where
# scripts/test_pythons.sh has them. What a Python has no wheels for is left out and said; without a
# service, a server of streams takes its place.
set -eu
cd "$(dirname "$0")/.."
repository="$PWD"
cache="$repository/scratch/pythons"
# shellcheck disable=SC2034 # of scripts/pythons.sh
root="$cache/sid"
mkdir -p "$cache"

fail() {
    echo "bench-pythons: $*" >&2
    exit 1
}

. scripts/pythons.sh

versions=""
while [ $# -gt 0 ] && [ "$1" != -- ]; do
    versions="$versions $1"
    shift
done
[ $# -gt 0 ] && shift
: "${versions:=3.12 3.13 3.14 3.15}"

# Fetch what the services need for a version, each by itself, into one directory.
fetch() {
    site="$cache/bench-$1"
    [ -e "$site/.ready" ] && return
    rm -rf "$site"
    abi="cp$(echo "$1" | tr -d .)"
    for package in "setuptools>=80" "uvicorn>=0.54" "starlette>=1.0" "httptools>=0.6" \
        "aiohttp>=3.14" "cyclopts>=5" "uvloop>=0.21"; do
        .venv/bin/python -m pip install --quiet --target "$site" --only-binary :all: \
            --python-version "$1" --abi "$abi" --abi abi3 --abi none \
            "$package" >"$cache/bench-$1.log" 2>&1 ||
            echo "bench-pythons: no wheels of $package for Python $1" >&2
    done
    touch "$site/.ready"
}

# shellcheck disable=SC2016
run_bench='set -eu
python="$1"; shift
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/src:$PWD/site" PYTHONDONTWRITEBYTECODE=1
"$python" setup.py --quiet build_ext --inplace >build.log 2>&1 || { cat build.log >&2; exit 1; }
exec "$python" bench/recorder.py --source "$PWD/orders/src" "$@"
'

# Run the bench of the Python at hand.
measure() {
    if [ -n "$python" ]; then
        sh "$tree/run.sh" "$python" "$@"
    else
        inside sh "/bench-tree-$version/run.sh" "/usr/bin/python$version" "$@"
    fi
}

failed=""
orders="$cache/orders"
rm -rf "$orders"
.venv/bin/python -m tachograph new orders --dir "$orders" >/dev/null
for version in $versions; do
    python="$(find_here "$version")"
    tree="$cache/bench-tree-$version"
    if [ -z "$python" ]; then
        prepare_debian "$version"
        install_there "$version"
        tree="$root/bench-tree-$version"
    fi
    fetch "$version"
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -R src bench setup.py pyproject.toml README.md LICENSE "$orders" "$tree"
    find "$tree" \( -name '*.so' -o -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
    cp -R "$cache/bench-$version" "$tree/site"
    printf '%s' "$run_bench" >"$tree/run.sh"
    app=generated
    for module in uvicorn httptools aiohttp cyclopts; do
        [ -d "$tree/site/$module" ] || app=streams
    done
    [ "$app" = generated ] || echo "bench-pythons: no generated service on $version, a server of streams instead" >&2
    echo "== Python $version"
    if [ $# -gt 0 ]; then
        measure "$@" || failed="$failed $version"
    else
        measure --workloads "empty step" --apps "$app" || failed="$failed $version"
    fi
done
[ -z "$failed" ] || fail "failed on$failed"
