#!/bin/sh
# Installs what tests/webtorrent/run.mjs needs and says in one line each what it does.
#
# Debian packages (Node.js, npm, Chromium, openssl, NSS's tools) need root; the npm packages, in the versions of package-lock.json, go below
# target/, so that nothing of them reaches the system. No script of a package is run: all that is needed is in the
# packages themselves. When all of it is there already this takes a fraction of a second.
set -eu

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
here=$root/tests/webtorrent
there=$root/target/webtorrent

missing=
need() { # program, Debian package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}
need node nodejs
need npm npm
need "${CHROMIUM:-/usr/bin/chromium}" chromium
need setpriv util-linux
need openssl openssl
need certutil libnss3-tools

# shellcheck disable=SC2086
sh "$root/scripts/install_debian.sh" $missing

# 18.19 is the first with all that the tests use; Debian 12 has 18.20.
node -e 'const [major, minor] = process.versions.node.split(".").map(Number)
         process.exit(major > 18 || (major === 18 && minor >= 19) ? 0 : 1)' || {
    echo "Node.js is $(node --version), 18.19 or newer is needed" >&2
    exit 1
}

# What was asked for when the packages were installed: the stamp is written last, so half an installation has none.
wanted=$(cd "$here" && cat package.json package-lock.json webrtc-shim/* | sha256sum)
if [ "$(cat "$there/installed" 2>/dev/null)" != "$wanted" ]; then
    echo "installing npm packages in $there"
    rm -rf "$there"
    mkdir -p "$there"
    cp -r "$here/package.json" "$here/package-lock.json" "$here/webrtc-shim" "$there"
    (cd "$there" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >npm.log 2>&1) || {
        cat "$there/npm.log" >&2
        echo "npm could not install the packages of tests/webtorrent/package.json" >&2
        exit 1
    }
    (cd "$there" && node -e 'require("@roamhq/wrtc")') || { echo "@roamhq/wrtc does not load" >&2; exit 1; }
    echo "$wanted" >"$there/installed"
fi
echo "everything is there"
