#!/bin/sh
# Installs what tests/connections/run.py needs and says so: Debian packages, for which it needs root.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
missing=
for program in openssl python3; do
    command -v "$program" >/dev/null 2>&1 || missing="$missing $program"
done
# shellcheck disable=SC2086
sh "$root/scripts/install_debian.sh" $missing
echo "everything is there"
