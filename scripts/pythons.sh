# Where other Pythons come from; for scripts that source it, in the repository's directory, with
# $cache as the directory of what is fetched, $root as that of Debian's unstable, and fail().
# shellcheck shell=sh

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

# Run a command in Debian's root, with mounts that end with it; the repository is where it is here.
# shellcheck disable=SC2016
inside() {
    unshare --mount --fork sh -c '
        mount --make-rprivate / && mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" &&
        mkdir -p "$0$PWD" && mount --bind "$PWD" "$0$PWD" &&
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
    rm -rf --one-file-system "$root"
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
