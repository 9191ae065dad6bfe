#!/bin/sh
# Run the tests of the native core under AddressSanitizer and UndefinedBehaviorSanitizer.
#
# The core is built apart, into scratch/, so that the one in use stays as it is. Leaks are looked for
# by tests/_core/test_leaks.py instead: the interpreter itself never frees everything.
set -eu
cd "$(dirname "$0")/.."
python="${PYTHON:-$PWD/.venv/bin/python}"
tree="$PWD/scratch/sanitized"
rm -rf "$tree"
mkdir -p "$tree"
cp -R src "$tree/src"
rm -f "$tree"/src/tachograph/_core/_*.so
include="$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')"
suffix="$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))')"
cc="${CC:-gcc}"
build() { # name, standard, sources
    name="$1" standard="$2"
    shift 2
    "$cc" -std="$standard" -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
        -fno-sanitize-recover=undefined -Wall -Wextra -Werror -Wno-unused-parameter \
        -Wno-missing-field-initializers -fPIC -shared -I"$include" "$@" -lm \
        -o "$tree/src/tachograph/_core/$name$suffix"
}
build _native c11 src/tachograph/_core/*.c
build _loop gnu11 src/tachograph/_core/loop/*.c
export PYTHONPATH="$tree/src" PYTHONMALLOC=malloc
# A request that is too large fails, as it does without the sanitizer: that is tested.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1
export TACHOGRAPH_SANITIZED="$tree"
LD_PRELOAD="$("$cc" -print-file-name=libasan.so) $("$cc" -print-file-name=libubsan.so)" \
    "$python" -m pytest -q -n auto --maxprocesses 8 --dist worksteal -p no:cacheprovider \
    "${@:-tests/_core}" tests/formats tests/metrics tests/sinks \
    tests/recorder/test_steps.py tests/recorder/test_hooks.py tests/recorder/test_facts.py \
    tests/recorder/sources/test_heap.py
