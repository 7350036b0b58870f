#!/bin/sh
# Installs valgrind, which counts the instructions, and says so. It needs root; when it is there, nothing happens.
set -eu

if ! command -v valgrind >/dev/null 2>&1; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "missing Debian packages: valgrind (run this as root, or install it yourself)" >&2
        exit 1
    fi
    echo "installing Debian packages: valgrind"
    export DEBIAN_FRONTEND=noninteractive
    apt="apt-get -qq -o DPkg::Lock::Timeout=600"
    # Old package lists name versions that the mirror no longer has: then update them and try once more.
    $apt install -y --no-install-recommends valgrind >/dev/null 2>&1 || {
        $apt update >/dev/null
        $apt install -y --no-install-recommends valgrind >/dev/null
    }
fi
echo "everything is there"
