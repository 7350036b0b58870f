#!/bin/sh
# Installs the trackers that `just prove-bench` compares evenkeel with: aquatic's below target/peers, which takes some
# minutes to build, Debian's opentracker and nginx, which need root, and the tracker of WebTorrent's package for Node.js.
# The same compiler and no flags of its own, as for ours. aquatic needs a C compiler. Its metrics endpoint, off by
# default, is left out: as its lock file has it, it does not build with today's compiler.
set -eu
cd "$(dirname -- "$0")/.."
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
version=0.9.0
for peer in aquatic_udp aquatic_http aquatic_ws; do
    if [ "$("target/peers/bin/$peer" --version 2>/dev/null)" != "$version" ]; then
        cargo install "$peer" --version "$version" --locked --no-default-features --features mimalloc \
            --root target/peers
    fi
done
sh tests/clients/install.sh
sh tests/proxies/install.sh
sh tests/webtorrent/install.sh
