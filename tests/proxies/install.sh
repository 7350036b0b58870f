#!/bin/sh
# Installs what tests/proxies/run.py needs and says so: Debian packages, for which it needs root.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin

missing=
command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
[ -e /usr/lib/nginx/modules/ngx_stream_module.so ] || missing="$missing libnginx-mod-stream"
command -v python3 >/dev/null 2>&1 || missing="$missing python3"

# Started as a service it would take port 80.
case $missing in *" nginx-light"*)
    if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/systemd/system/nginx.service ]; then
        mkdir -p /etc/systemd/system
        ln -s /dev/null /etc/systemd/system/nginx.service
    fi ;;
esac
# shellcheck disable=SC2086
sh "$root/scripts/install_debian.sh" $missing
echo "everything is there"
