#!/bin/sh
# Run the tests of records, formats and sinks on other Pythons, with the native core built for each.
#
#   scripts/test_pythons.sh [VERSION...]     3.12 3.13 3.14 3.15 by default
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
tests="tests/_base tests/_core tests/formats tests/metrics tests/sinks"
# Of the recorder and its format, what depends on the interpreter.
tests="$tests tests/recorder/test_steps.py tests/recorder/test_hooks.py tests/recorder/test_facts.py"
tests="$tests tests/trace/test_delta.py tests/trace/test_encode.py"
[ $# -gt 0 ] || set -- 3.12 3.13 3.14 3.15
mkdir -p "$cache"

fail() {
    echo "test-pythons: $*" >&2
    exit 1
}

# Print the interpreter of a version on this system, or nothing.
find_here() {
    for candidate in "$(command -v "python$1" || true)" \
        "${PYENV_ROOT:-$HOME/.pyenv}/versions/${1%t}".*"${1#"${1%t}"}/bin/python$1"; do
        if [ -x "$candidate" ] && "$candidate" -c 'import sysconfig, os; from pathlib import Path
raise SystemExit(not Path(sysconfig.get_path("include"), "Python.h").is_file())' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

# Run a command in Debian's root, with mounts that end with it.
# shellcheck disable=SC2016
inside() {
    unshare --mount --fork sh -c '
        mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
        exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root \
            DEBIAN_FRONTEND=noninteractive "$@"' "$root" "$@"
}

# A mirror may be a snapshot whose files expired; what it holds is signed all the same.
packages() {
    inside apt-get -q -o Acquire::Check-Valid-Until=false "$@" >>"$cache/sid.log" 2>&1 ||
        fail "\`apt-get $*\` failed in $root; $cache/sid.log says why"
}

# Unpack Debian's unstable, which has the Pythons that this system lacks.
prepare_debian() {
    case "$1" in
    *t) fail "no Python $1 on PATH or in pyenv, and Debian has none without the GIL. Build one: \`./configure --disable-gil\`" ;;
    esac
    [ -e "$root/.ready" ] && return
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1 ||
        fail "no Python $1 on PATH or in pyenv. Install it, or run this as root on Debian or Ubuntu, which can unpack one."
    command -v debootstrap >/dev/null 2>&1 || apt-get install -y -q debootstrap >/dev/null 2>&1 ||
        { apt-get update -q && apt-get install -y -q debootstrap; } >"$cache/sid.log" 2>&1 ||
        fail "cannot install debootstrap; $cache/sid.log says why"
    echo "test-pythons: unpacking Debian's unstable into $root (once)"
    rm -rf "$root"
    debootstrap --variant=minbase sid "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$cache/sid.log" 2>&1 ||
        fail "debootstrap failed; $cache/sid.log says why"
    packages update
    packages install -y --no-install-recommends gcc libc6-dev
    touch "$root/.ready"
}

# Put a version into Debian's root.
install_there() {
    [ -x "$root/usr/bin/python$1" ] && [ -e "$root/usr/include/python$1/Python.h" ] ||
        packages install -y --no-install-recommends "python$1" "python$1-dev"
}

# Fetch what the tests need for a version, into a directory of its own.
fetch() {
    site="$cache/site-$1"
    [ -e "$site/.ready" ] && return
    rm -rf "$site"
    case "$1" in
    *t) abi="cp$(echo "${1%t}" | tr -d .)t" ;;
    *) abi="cp$(echo "$1" | tr -d .)" ;;
    esac
    .venv/bin/python -m pip install --quiet --target "$site" --only-binary :all: \
        --python-version "${1%t}" --abi "$abi" --abi abi3 --abi abi3t --abi none \
        "pytest>=9" "hypothesis>=6.150" "setuptools>=80" >"$cache/site-$1.log" 2>&1 ||
        fail "cannot fetch pytest and hypothesis for Python $1; $cache/site-$1.log says why"
    touch "$site/.ready"
}

# Make a tree, build the core in it, and test. The core is not for builds without the GIL.
# shellcheck disable=SC2016
run_tests='set -eu
python="$1"; shift
cd "$(dirname "$0")"
export PYTHONPATH="$PWD/src:$PWD/site" PYTHONDONTWRITEBYTECODE=1
"$python" setup.py --quiet build_ext --inplace >build.log 2>&1 || { cat build.log >&2; exit 1; }
"$python" -c "
import sys, sysconfig
from tachograph._core import native
free = bool(sysconfig.get_config_var(\"Py_GIL_DISABLED\"))
print(\"== Python\", sys.version.split()[0], \"free-threaded, twin\" if free else \"native core\", flush=True)
sys.exit((native is None) is not free)
" || { cat build.log >&2; echo "the native core was not built" >&2; exit 1; }
exec "$python" -m pytest -q -p no:cacheprovider -m "not slow" "$@"
'

failed=""
for version in "$@"; do
    python="$(find_here "$version")"
    tree="$cache/tree-$version"
    if [ -z "$python" ]; then
        prepare_debian "$version"
        install_there "$version"
        tree="$root/tree-$version"
    fi
    fetch "$version"
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -R src tests setup.py pyproject.toml README.md LICENSE "$tree"
    find "$tree" \( -name '*.so' -o -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +
    cp -R "$cache/site-$version" "$tree/site"
    printf '%s' "$run_tests" >"$tree/run.sh"
    # shellcheck disable=SC2086
    if [ -n "$python" ]; then
        sh "$tree/run.sh" "$python" $tests || failed="$failed $version"
    else
        inside sh "/tree-$version/run.sh" "/usr/bin/python$version" $tests || failed="$failed $version"
    fi
done
[ -z "$failed" ] || fail "failed on$failed"
