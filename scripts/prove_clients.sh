#!/bin/sh
# Runs every transfer between real clients TIMES times in a row (10 by default) and writes docs/proofs/clients.md.
# Runs that were done with the same program are not done again: stopped, it goes on where it was.
set -eu
cd "$(dirname -- "$0")/.."
times=${1:-10}
mkdir -p docs/proofs
sh tests/clients/install.sh
cargo build --quiet --release --locked
exec python3 tests/clients/run.py --evenkeel target/release/evenkeel --times "$times" \
    --resume target/prove-clients.json --report docs/proofs/clients.md
