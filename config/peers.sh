#!/bin/sh
# Installs what the tests talk to: PostgreSQL, Postfix, node's smpp server. Needs root for Debian's packages; without
# it the tests of a missing peer are skipped and say so (under CI they fail).
set -eu

wanted=""
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || wanted="$wanted postgresql"
[ -x /usr/sbin/postfix ] || wanted="$wanted postfix"
command -v node >/dev/null 2>&1 || wanted="$wanted nodejs"
command -v npm >/dev/null 2>&1 || wanted="$wanted npm"

if [ -n "$wanted" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        echo "Installing peers for the tests:$wanted ..."
        export DEBIAN_FRONTEND=noninteractive
        # The packages must not start servers of their own: the tests start private ones.
        policy=/usr/sbin/policy-rc.d
        made=""
        if [ ! -e "$policy" ]; then
            printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && made=yes
        fi
        echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
        apt-get update -qq
        # shellcheck disable=SC2086
        apt-get install -y -qq --no-install-recommends $wanted >/dev/null
        [ -z "$made" ] || rm -f "$policy"
    else
        echo "Not installed, and not root: $wanted. Tests of these peers will be skipped." >&2
    fi
fi

if command -v npm >/dev/null 2>&1 && [ ! -d tests/peers/smpp/node_modules/smpp ]; then
    echo "Installing node's smpp server for the tests ..."
    (cd tests/peers/smpp && npm ci --silent --no-audit --no-fund --ignore-scripts)
fi
