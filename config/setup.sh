#!/bin/sh
# Makes the virtual environment from the lock file: every package pinned, every download checked by its hash.
set -eu
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing Python (python3, python3-venv) from Debian ..."
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    else
        echo "Tocsin needs Python 3.11 or later: as root, 'apt-get install python3 python3-venv'" >&2
        exit 1
    fi
fi
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "Tocsin needs Python 3.11 or later; $PYTHON is $("$PYTHON" -V). Use: make PYTHON=python3.12 setup" >&2
    exit 1
}

# A venv without pip is what Debian's python3 makes when python3-venv is missing.
if [ ! -x "$VENV/bin/pip" ]; then
    echo "Making $VENV ..."
    if ! "$PYTHON" -m venv --clear "$VENV" >/dev/null 2>&1; then
        if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
            apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
            "$PYTHON" -m venv --clear "$VENV"
        else
            echo "Python's venv module is missing: as root, 'apt-get install python3-venv'" >&2
            exit 1
        fi
    fi
fi
echo "Installing the pinned dependencies (about a minute the first time) ..."
"$VENV/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
"$VENV/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
