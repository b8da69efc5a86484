#!/usr/bin/env bash
# Builds everything that others wrote, from the manifests alone, so that it can be kept as a layer.
# It must run before our sources are there, and must leave nothing that could pass for our program.
#
#   ZHIBAN_PROFILE   the profile of cargo, `release` when unset
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=${ZHIBAN_PROFILE:-release}

sources=(gateway/core/src/lib.rs gateway/sim/src/lib.rs dashboard/src/lib.rs
    gateway/daemon/src/lib.rs gateway/daemon/src/main.rs dashboard/examples/preview.rs tests/it/main.rs)

for source in "${sources[@]}"; do
    if [ -e "$source" ]; then
        echo "$source is there already: this step runs before the sources are copied" >&2
        exit 1
    fi
    mkdir -p "$(dirname "$source")"
    echo 'fn main() {}' >"$source"
done

cargo build --locked --profile "$profile" --package zhiban

# A stand-in is younger than the sources that will replace it: cargo would take it for up to date.
cargo clean --locked --profile "$profile" -p zhiban -p zhiban-core -p zhiban-dashboard -p zhiban-sim
rm "${sources[@]}"
