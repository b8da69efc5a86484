#!/usr/bin/env bash
# Installs the programs that the bench is run beside, pinned, and prints NAME=PATH for each.
# Must never fail for want of one: what cannot be installed is left out, and the bench says so.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

peers="$tests/bench/peers"

# Node-RED with its Modbus nodes; its package-lock.json names every version.
node_red() {
    have node && have npm || return 1
    local folder
    folder="$cache/bench-node-red-$(key "$peers"/node-red/package*.json)"
    exec 9>"$folder.lock"
    flock 9
    if [ ! -e "$folder/.installed" ]; then
        say 'installing Node-RED (about 2 minutes, once a machine)'
        rm -rf "$folder"
        mkdir -p "$folder"
        cp "$peers"/node-red/{package.json,package-lock.json,.npmrc} "$folder/"
        (cd "$folder" && timeout 600 npm ci --no-audit --no-fund --ignore-scripts --loglevel=error >&2) ||
            return 1
        touch "$folder/.installed"
    fi
    printf 'ZHIBAN_NODE_RED=%s\n' "$folder/node_modules/node-red/red.js"
}

# Telegraf's own agent with two of its plugins, from its Go module.
telegraf() {
    have go || return 1
    local folder
    folder="$cache/bench-telegraf-$(key "$peers"/telegraf/{main.go,go.mod,go.sum})"
    mkdir -p "$folder"
    exec 8>"$folder/lock"
    flock 8
    if [ ! -x "$folder/telegraf" ]; then
        say 'building Telegraf from its Go module (about 2 minutes, once a machine)'
        (cd "$peers/telegraf" &&
            timeout 900 nice go build -mod=readonly -trimpath -o "$folder/telegraf.new" . >&2) ||
            return 1
        mv "$folder/telegraf.new" "$folder/telegraf"
    fi
    printf 'ZHIBAN_TELEGRAF=%s\n' "$folder/telegraf"
}

pymodbus() {
    local python
    python=$("$here/pymodbus.sh") || return 1
    printf 'ZHIBAN_PYMODBUS=%s\n' "$python"
}

# In a subshell each, so that one that cannot be had does not end the others.
for peer in pymodbus node_red telegraf; do
    ("$peer") || say "$peer cannot be installed here: the bench runs without it"
done
