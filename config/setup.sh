#!/bin/sh
# Makes the virtual environment from the lock file: every package pinned, every download checked by its hash.
set -eu
VENV=${VENV:-.venv}

# Python that was built without profile-guided optimisation (pyenv builds so unless told) takes about twice the CPU for
# each message. A distribution's own build is optimised, whatever its flags say; others name the option.
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
optimised() {
    "$1" -c 'import sys, sysconfig
sys.exit(sys.base_prefix != "/usr" and "--enable-optimizations" not in (sysconfig.get_config_var("CONFIG_ARGS") or ""))'
}
makes_environments() { "$1" -c 'import ensurepip, venv' 2>/dev/null; }

if [ -x "$VENV/bin/pip" ]; then
    PYTHON=$VENV/bin/python
elif [ -z "${PYTHON:-}" ]; then
    PYTHON=python3
    if new_enough python3 && ! optimised python3; then
        for other in python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
            if new_enough "$other" && optimised "$other" && makes_environments "$other"; then
                echo "Taking $(command -v "$other"), an optimised build; $(python3 -c 'import sys; print(sys.executable)') is none."
                PYTHON=$other
                break
            fi
        done
    fi
fi

if ! command -v "$PYTHON" >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing Python (python3, python3-venv) from Debian ..."
        apt-get update -qq && apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    else
        echo "Tocsin needs Python 3.11 or later: as root, 'apt-get install python3 python3-venv'" >&2
        exit 1
    fi
fi
new_enough "$PYTHON" || {
    echo "Tocsin needs Python 3.11 or later; $PYTHON is $("$PYTHON" -V). Use: make PYTHON=python3.12 setup" >&2
    exit 1
}
optimised "$PYTHON" || echo "$PYTHON was built without optimisation: every message costs more CPU. 'make clean; make PYTHON=... setup' takes another." >&2

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
"$VENV/bin/pip" install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
"$VENV/bin/pip" install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
# Whoever forbids Python to keep what it has read would wait at every command.
"$VENV/bin/python" -m compileall -q cap channels gateway store
