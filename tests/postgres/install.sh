#!/bin/sh
# Installs a PostgreSQL server, which the tests of the store start in temporary folders; when there is one, nothing
# happens. Debian starts a server of its own with the package unless it is told not to.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)

has_server() {
    command -v initdb >/dev/null 2>&1 && return
    for program in /usr/lib/postgresql/*/bin/initdb; do
        [ -x "$program" ] && return
    done
    return 1
}

has_server && exit 0
if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    mkdir -p /etc/postgresql-common
    echo "create_main_cluster = false" >/etc/postgresql-common/createcluster.conf
fi
sh "$root/scripts/install_debian.sh" postgresql
