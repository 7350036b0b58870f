#!/bin/sh
# Passes all tests of evenkeel. Needs a Rust toolchain, a shell and, for what is installed on the way, root.
#
# What it installs: Debian packages of real BitTorrent clients and a tracker (aria2, transmission, opentracker,
# iproute2), of nginx, of openssl, of Node.js, of Chromium with NSS's tools, of PostgreSQL, of pebble, of valgrind, and, below target/, the Python bindings
# of libtorrent and the npm packages of WebTorrent. Where it may not install it names what is missing and fails; it
# skips nothing.
set -eu
cd "$(dirname -- "$0")"

step() { printf '\n== %s\n' "$*"; }

step "installing the clients that the tests drive"
sh tests/clients/install.sh
sh tests/webtorrent/install.sh
sh tests/proxies/install.sh
sh tests/connections/install.sh
sh crates/evenkeel-core/benches/instructions/install.sh
sh tests/postgres/install.sh
sh tests/acme/install.sh

step "formatting and lints"
cargo fmt --all --check
cargo clippy --quiet --workspace --all-targets --locked -- -D warnings

step "documentation builds"
RUSTDOCFLAGS="-D warnings" cargo doc --quiet --workspace --no-deps --locked

step "tests: codecs, core, the real program"
cargo test --quiet --workspace --locked

step "instructions of a request, counted and compared with the baseline"
cargo bench --quiet --locked -p evenkeel-core --bench instructions

step "real clients, introduced to each other by the tracker alone; the probe of another tracker"
cargo build --quiet --release --locked
python3 tests/clients/run.py --evenkeel target/release/evenkeel

step "nginx in front of the tracker"
python3 tests/proxies/run.py --evenkeel target/release/evenkeel

step "idle connections: what each costs, and who is answered meanwhile"
python3 tests/connections/run.py --evenkeel target/release/evenkeel --each 300

step "WebTorrent: its JavaScript client, its own tests, two browsers"
node tests/webtorrent/run.mjs --evenkeel target/release/evenkeel
