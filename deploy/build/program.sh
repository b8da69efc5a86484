#!/usr/bin/env bash
# Builds the program into out/, beside the empty data folder of its image.
# It must never build anything but what Cargo.lock names.
#
#   ZHIBAN_PROFILE   the profile of cargo, `release` when unset
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
profile=${ZHIBAN_PROFILE:-release}

cargo build --locked --profile "$profile" --package zhiban

# `dev` is built into a folder of another name.
folder=${CARGO_TARGET_DIR:-target}/${profile/#dev/debug}
mkdir -p out/data
chmod 700 out/data
cp "$folder/zhiban" out/zhiban
