#!/usr/bin/env bash
# Finds or makes a real InfluxDB 2 server and prints the path of its program.
# Order: $ZHIBAN_INFLUXD, PATH, the cache, a container image, its Go module.
# Must never settle for another major version or a look-alike.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

module_dir="$tests/influxd"
tags=sqlite_foreign_keys,sqlite_json
pkg_config=github.com/influxdata/pkg-config@v0.2.14
image=influxdb:2.7

# A build of our own calls itself "dev": its module version is in the binary, and a mark beside it
# says the same where Go is gone since.
is_influxd_2() {
    [ -x "$1" ] || return 1
    [ ! -e "$1.from-module" ] || return 0
    "$1" version 2>/dev/null | grep -Eq '^InfluxDB v?2\.' && return 0
    have go && go version -m "$1" 2>/dev/null |
        grep -Eq 'github.com/influxdata/influxdb/v2[[:space:]]+v2\.'
}

accept() {
    is_influxd_2 "$1" || return 1
    say "InfluxDB 2: $1 ($2)"
    printf '%s\n' "$1"
    exit 0
}

if [ -n "${ZHIBAN_INFLUXD:-}" ]; then
    accept "$ZHIBAN_INFLUXD" 'named by ZHIBAN_INFLUXD' || {
        say "ZHIBAN_INFLUXD=$ZHIBAN_INFLUXD is no InfluxDB 2 server"
        exit 1
    }
fi
if have influxd; then
    accept "$(command -v influxd)" 'found on PATH' || true
fi

cached="$cache/influxd-$(key "$module_dir"/{main.go,go.mod,go.sum} <(echo "$tags $pkg_config"))"
mkdir -p "$cached"
# Two runs at once must not build it twice.
exec 9>"$cached/lock"
flock 9
accept "$cached/influxd" 'from the cache' || true

# The program is taken out of the image, so that a test can kill and restart it.
from_image() {
    have docker && docker info >/dev/null 2>&1 || return 1
    say "copying influxd out of the image $image"
    local container
    container=$(docker create "$image") || return 1
    docker cp "$container:/usr/local/bin/influxd" "$cached/influxd" >&2 || true
    docker rm "$container" >/dev/null
    is_influxd_2 "$cached/influxd"
}

from_module() {
    have go && have cargo || {
        say 'no InfluxDB 2, no container engine, and no Go 1.26 with cargo to build it'
        return 1
    }
    have pkg-config || { say 'pkg-config is missing: tests/install/apt.sh'; return 1; }
    say 'building influxd from its Go module (about 6 minutes, once a machine)'
    GOBIN="$cached/bin" go install "$pkg_config" >&2
    # Its Flux library pins an old compiler and denies warnings that newer ones added.
    printf '#!/bin/sh\nexec "$@" --cap-lints allow\n' >"$cached/bin/cap-lints"
    chmod +x "$cached/bin/cap-lints"
    local toolchain=
    if have rustup; then
        toolchain=$(cd "$tests" && rustup show active-toolchain | cut -d' ' -f1)
    fi
    (
        cd "$module_dir"
        unset CARGO_TARGET_DIR CARGO_BUILD_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
        [ -z "$toolchain" ] || export RUSTUP_TOOLCHAIN="$toolchain"
        PKG_CONFIG="$cached/bin/pkg-config" RUSTC_WRAPPER="$cached/bin/cap-lints" \
            nice go build -mod=readonly -trimpath -tags "$tags" -o "$cached/influxd.new" . >&2
    )
    mv "$cached/influxd.new" "$cached/influxd"
    touch "$cached/influxd.from-module"
}

from_image || from_module
accept "$cached/influxd" 'just made' || { say "$cached/influxd is no InfluxDB 2 server"; exit 1; }
