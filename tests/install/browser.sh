#!/usr/bin/env bash
# Installs what the browser tests import, exactly as package-lock.json says, when it changed.
# Must never resolve a version anew.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$tests/browser"
have npm || { say 'no npm: the browser tests need Node.js'; exit 1; }
stamp=node_modules/.installed-$(key package-lock.json)
if [ -e "$stamp" ]; then
    say 'browser tests: node_modules is up to date'
    exit 0
fi
say 'browser tests: npm ci'
npm ci --no-audit --no-fund --loglevel=error >&2
touch "$stamp"
