#!/bin/sh
# Installs what the tests talk to: PostgreSQL, Postfix, node's smpp server, nginx, Caddy and Chromium; `peers.sh bench`
# what the bench compares with: PostgreSQL, Postfix, Kannel. Needs root for Debian's packages; without it what needs a
# missing peer is skipped and says so (under CI tests fail).
set -eu
for_bench=""
[ "${1:-}" != bench ] || for_bench=yes

wanted=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || wanted="$wanted postgresql"
[ -x /usr/sbin/postfix ] || wanted="$wanted postfix"
if [ -n "$for_bench" ]; then
    [ -x /usr/sbin/bearerbox ] || wanted="$wanted kannel"
else
    [ -x /usr/sbin/nginx ] || wanted="$wanted nginx-light"
    command -v caddy >/dev/null 2>&1 || wanted="$wanted caddy"
    command -v node >/dev/null 2>&1 || wanted="$wanted nodejs"
    command -v npm >/dev/null 2>&1 || wanted="$wanted npm"
    command -v chromium-headless-shell >/dev/null 2>&1 || wanted="$wanted chromium-headless-shell"
fi

if [ -n "$wanted" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing peers:$wanted ..."
        export DEBIAN_FRONTEND=noninteractive
        # The packages must not start servers of their own: the tests and the bench start private ones.
        policy=/usr/sbin/policy-rc.d
        made=""
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
        fi
        trap '[ -z "$made" ] || rm -f "$policy"' EXIT
        echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null
    elif [ -n "$for_bench" ]; then
        echo "Not installed, and not root:$wanted. The lines of these peers will be skipped." >&2
    else
        echo "Not installed, and not root:$wanted. Tests of these peers will be skipped." >&2
    fi
fi

[ -z "$for_bench" ] || exit 0

if command -v npm >/dev/null 2>&1; then
    # A folder, and what is there once its packages are.
    for each in smpp:smpp typescript:openapi-typescript; do
        folder=tests/peers/${each%%:*}
        if [ ! -d "$folder/node_modules/${each##*:}" ]; then
            echo "Installing the peer $folder ..."
            (cd "$folder" && npm ci --silent --no-audit --no-fund --ignore-scripts)
        fi
    done
fi

# Programs that know the API by its document alone have an environment of their own: what they need is not ours.
api=tests/peers/api
if [ ! -x "$api/.venv/bin/schemathesis" ] || [ "$api/requirements.lock" -nt "$api/.venv/bin/schemathesis" ]; then
    echo "Installing the peer $api ..."
    "${VENV:-.venv}/bin/python" -m venv --clear "$api/.venv"
    "$api/.venv/bin/pip" install -qq --disable-pip-version-check --require-hashes -r "$api/requirements.lock"
    touch "$api/.venv/bin/schemathesis"
fi
