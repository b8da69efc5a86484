#!/usr/bin/env bash
# Makes a virtual environment with the pinned pymodbus and aiosmtpd and prints its Python.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

requirements="$tests/pymodbus/requirements.txt"
venv="$cache/pymodbus-$(key "$requirements" <(python3 --version))"
exec 9>"$venv.lock"
flock 9
if ! "$venv/bin/python" -c 'import aiosmtpd, pymodbus' 2>/dev/null; then
    say "making $venv"
    rm -rf "$venv"
    python3 -m venv "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check \
        --requirement "$requirements" >&2
fi
say "pymodbus $("$venv/bin/python" -c 'import pymodbus; print(pymodbus.__version__)'): $venv/bin/python"
printf '%s\n' "$venv/bin/python"
