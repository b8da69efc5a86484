#!/usr/bin/env bash
# Installs the Debian packages that the tests run, when they are missing and it may.
# Must never leave a service running that a package brought along.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

have_font() { have fc-list && [ -n "$(fc-list :lang=zh-cn family 2>/dev/null)" ]; }
PATH="$PATH:/usr/sbin:/sbin"

missing=()
have mosquitto || missing+=(mosquitto)
have chromium || [ -x "${ZHIBAN_CHROMIUM:-}" ] || missing+=(chromium)
have_font || missing+=(fontconfig fonts-noto-cjk)
have node && have npm || missing+=(nodejs npm)
have systemd-analyze || missing+=(systemd)
have setpriv || missing+=(util-linux)
have openssl || missing+=(openssl)
have git || missing+=(git)
have pkg-config || missing+=(pkg-config)
python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3 python3-venv)

if have node && [ "$(node -p 'process.versions.node.split(".")[0]')" -lt 20 ]; then
    say "Node.js $(node --version) is too old for the browser tests: install 20 or newer, for example from nodejs.org"
fi
if [ ${#missing[@]} -eq 0 ]; then
    say 'Debian packages: all there'
    exit 0
fi
if ! have apt-get; then
    say "missing, and no apt-get to install them: ${missing[*]}"
    exit 0
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! have sudo || ! sudo -n true 2>/dev/null; then
        say "missing, and neither root nor sudo without a password: ${missing[*]}"
        exit 0
    fi
    as_root=(sudo -n)
fi

# Debian starts a service when it is installed; this keeps it from doing so.
policy=/usr/sbin/policy-rc.d
made_policy=no
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    made_policy=yes
fi
restore() { [ "$made_policy" = no ] || "${as_root[@]}" rm -f "$policy"; }
trap restore EXIT

say "apt-get install ${missing[*]}"
"${as_root[@]}" apt-get update -qq >&2
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
case " ${missing[*]} " in
*' mosquitto '*)
    if have systemctl; then
        "${as_root[@]}" systemctl disable --now mosquitto >/dev/null 2>&1 || true
    fi
    ;;
esac
