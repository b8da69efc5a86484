#!/usr/bin/env bash
# Finds or builds the pinned cargo-deny and prints the path of its program.
# Must never settle for another version: what it warns of differs from one to the next.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

version=0.20.2

is_it() { [ -x "$1" ] && [ "$("$1" --version 2>/dev/null)" = "cargo-deny $version" ]; }

accept() {
    is_it "$1" || return 1
    say "cargo-deny $version: $1 ($2)"
    printf '%s\n' "$1"
    exit 0
}

if have cargo-deny; then
    accept "$(command -v cargo-deny)" 'found on PATH' || true
fi
cached="$cache/cargo-deny-$version"
mkdir -p "$cached"
# Two runs at once must not build it twice.
exec 9>"$cached/lock"
flock 9
accept "$cached/bin/cargo-deny" 'from the cache' || true

say "building cargo-deny $version (about 2 minutes, once a machine)"
# Unoptimized: it runs for seconds, which no time of optimizing would win back.
(
    cd "$tests"
    unset CARGO_BUILD_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
    export CARGO_TARGET_DIR="$cached/build" CARGO_PROFILE_DEV_DEBUG=false
    nice cargo install --quiet --locked --debug --root "$cached" --version "=$version" cargo-deny >&2
)
rm -rf "$cached/build"
accept "$cached/bin/cargo-deny" 'just made' || { say "cargo-deny $version cannot be had"; exit 1; }
