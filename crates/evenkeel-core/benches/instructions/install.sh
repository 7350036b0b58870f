#!/bin/sh
# Installs valgrind, which counts the instructions; when it is there, nothing happens.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../../.." && pwd)
command -v valgrind >/dev/null 2>&1 || sh "$root/scripts/install_debian.sh" valgrind
