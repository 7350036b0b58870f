#!/bin/sh
# Installs the trackers that `just prove-bench` compares evenkeel with: aquatic_udp below target/peers, which takes some
# minutes to build, and Debian's opentracker, which needs root. The same compiler and no flags of its own, as for ours.
# aquatic_udp needs a C compiler. Its metrics endpoint, off by default, is left out: as its lock file has it, it does not
# build with today's compiler.
set -eu
cd "$(dirname -- "$0")/.."
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
version=0.9.0
if [ "$(target/peers/bin/aquatic_udp --version 2>/dev/null)" != "$version" ]; then
    cargo install aquatic_udp --version "$version" --locked --no-default-features --features mimalloc \
        --root target/peers
fi
sh tests/clients/install.sh
