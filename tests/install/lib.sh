# Shared by the install scripts: words on stderr, the result on stdout.
# Must never install anything by itself.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
tests=$(dirname "$here")
cache="${XDG_CACHE_HOME:-$HOME/.cache}/zhiban-tests"
mkdir -p "$cache"

say() { printf 'install: %s\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }

# The digest of what decides a cached thing, so that a change of it makes a new one.
key() { cat "$@" | sha256sum | cut -c1-12; }
