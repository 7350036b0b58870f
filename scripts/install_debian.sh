#!/bin/sh
# install_debian.sh PACKAGE...
# Installs Debian packages that are missing, and says so. It needs root; without, it names them and fails.
set -eu
[ $# -gt 0 ] || exit 0
if [ "$(id -u)" -ne 0 ]; then
    echo "missing Debian packages: $* (run this as root, or install them yourself)" >&2
    exit 1
fi
echo "installing Debian packages: $*"
export DEBIAN_FRONTEND=noninteractive
apt="apt-get -qq -o DPkg::Lock::Timeout=600"
# Old package lists name versions that the mirror no longer has: then update them and try once more.
$apt install -y --no-install-recommends "$@" >/dev/null 2>&1 || {
    $apt update >/dev/null
    $apt install -y --no-install-recommends "$@" >/dev/null
}
