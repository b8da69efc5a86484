#!/usr/bin/env bash
# Installs exactly what the package-lock.json of a folder says, when it changed.
# Must never resolve a version anew.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

cd "$1"
have npm || { say "no npm: $1 needs Node.js"; exit 1; }
stamp=node_modules/.installed-$(key package-lock.json)
if [ -e "$stamp" ]; then
    say "$1: node_modules is up to date"
    exit 0
fi
say "$1: npm ci"
npm ci --no-audit --no-fund --loglevel=error >&2
touch "$stamp"
