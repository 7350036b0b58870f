#!/bin/sh
# Installs the authority that the tests of ACME start, Let's Encrypt's own for tests; when it is there, nothing happens.
# Debian's package needs root.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
missing=
command -v pebble >/dev/null 2>&1 && command -v pebble-challtestsrv >/dev/null 2>&1 || missing=pebble
# shellcheck disable=SC2086
sh "$root/scripts/install_debian.sh" $missing
