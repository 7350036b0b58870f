#!/bin/sh
# Installs what tests/clients/run.py needs and says in one line each what it does.
#
# Debian packages need root; the Python package goes into a virtual environment below target/, so that nothing
# of it reaches the system. When all of it is there already this takes a fraction of a second.
set -eu

# The version is pinned because the transfers assert on the library's alerts.
LIBTORRENT=2.1.1

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
venv=$root/target/clients-venv
PATH=$PATH:/usr/sbin:/sbin

missing=
need() { # program, Debian package
    command -v "$1" >/dev/null 2>&1 && return
    case " $missing " in *" $2 "*) ;; *) missing="$missing $2" ;; esac
}
need aria2c aria2
need transmission-daemon transmission-daemon
need transmission-remote transmission-cli
need opentracker opentracker
need openssl openssl
need ip iproute2
need unshare util-linux
need python3 python3-venv

has_libtorrent() {
    [ -x "$venv/bin/python" ] &&
        [ "$("$venv/bin/python" -c 'import importlib.metadata as m, libtorrent; print(m.version("libtorrent"))' 2>/dev/null)" = "$LIBTORRENT" ]
}
if ! has_libtorrent && ! { command -v python3 && python3 -c 'import ensurepip, venv'; } >/dev/null 2>&1; then
    case " $missing " in *" python3-venv "*) ;; *) missing="$missing python3-venv" ;; esac
fi

# Started as a service it would take port 6969, which is evenkeel's too.
case $missing in *" opentracker"*)
    if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/systemd/system/opentracker.service ]; then
        mkdir -p /etc/systemd/system
        ln -s /dev/null /etc/systemd/system/opentracker.service
    fi ;;
esac
# shellcheck disable=SC2086
sh "$root/scripts/install_debian.sh" $missing

if ! has_libtorrent; then
    echo "making $venv with libtorrent $LIBTORRENT"
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "libtorrent==$LIBTORRENT"
    has_libtorrent || { echo "libtorrent $LIBTORRENT does not import in $venv" >&2; exit 1; }
fi
echo "everything is there"
