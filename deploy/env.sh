#!/bin/sh
# Makes .venv with the `mlmesh` command in it, on a machine that has only python3 >= 3.11, make and git.
# PYTHON=/path/to/python3 chooses the interpreter; pip's own configuration and PIP_* variables are respected.
set -eu
cd "$(dirname "$0")/.."
venv=.venv

say() { printf 'env: %s\n' "$*" >&2; }
fail() { say "$*"; exit 1; }

suitable() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The newest suitable interpreter that can make an environment, else the newest suitable one.
choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        suitable "$PYTHON" || fail "PYTHON=$PYTHON is not a Python 3.11 or later"
        echo "$PYTHON"
        return
    fi
    newest=
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        suitable "$name" || continue
        if can_make_venv "$name"; then echo "$name"; return; fi
        newest=${newest:-$name}
    done
    [ -n "$newest" ] || fail "no Python 3.11 or later found; install one, or name it: make env PYTHON=/path/to/python3"
    echo "$newest"
}

# Installs a Debian package when we may, else says in one sentence what to type.
apt_install() {
    if ! command -v apt-get >/dev/null; then fail "$1 is missing; please install it with your system's package manager"; fi
    if [ "$(id -u)" = 0 ]; then as_root=env
    elif sudo -n true 2>/dev/null; then as_root='sudo -n env'
    else fail "$1 is missing; please type: sudo apt-get install $1"; fi
    say "installing $1"
    install="$as_root DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $1"
    $install >/dev/null 2>&1 || { $as_root apt-get update -qq >&2 && $install >/dev/null; } \
        || fail "$1 could not be installed; please type: sudo apt-get update && sudo apt-get install $1"
}

make_venv() {
    python=$(choose_python)
    if ! can_make_venv "$python"; then
        apt_install "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
        can_make_venv "$python" || fail "$python cannot make virtual environments; name another one: make env PYTHON=/path/to/python3"
    fi
    say "making $venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

# What the environment was made from; a checkout that was moved needs a new one.
fingerprint() {
    pwd
    cat requirements.lock pyproject.toml deploy/env.sh | cksum
}

command -v git >/dev/null || apt_install git
if [ -x "$venv/bin/mlmesh" ] && [ "$(cat "$venv/fingerprint" 2>/dev/null)" = "$(fingerprint)" ]; then exit 0; fi
moved=$(head -n 1 "$venv/fingerprint" 2>/dev/null || pwd)
if [ "$moved" != "$(pwd)" ] || ! suitable "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    make_venv
fi
say "installing the $(grep -c '==' requirements.lock) packages of requirements.lock; this takes up to two minutes"
quiet=--quiet
if [ -t 2 ]; then quiet=--progress-bar=off; fi
"$venv/bin/python" -m pip install $quiet --disable-pip-version-check --requirement requirements.lock >&2
say "installing the command mlmesh"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
fingerprint >"$venv/fingerprint"
say "done; for the command mlmesh type: . $venv/bin/activate"
