#!/bin/sh
# Holds EACH idle WebSockets and as many idle HTTP connections (9,000 by default) on the real program, measures what they
# cost and whether others are answered, and writes docs/proofs/connections.md. It needs 20,000 open files.
set -eu
cd "$(dirname -- "$0")/.."
each=${1:-9000}
target=${CARGO_TARGET_DIR:-target}/release
cargo build --quiet --release --locked -p evenkeel
table=$(mktemp)
trap 'rm -f "$table"' EXIT
passed=true
python3 tests/connections/run.py --evenkeel "$target/evenkeel" --each "$each" --p99-ms 50 --report "$table" || passed=false
mkdir -p docs/proofs
{
    echo "# Idle connections"
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* program: $("$target/evenkeel" --version)"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo
    echo "$each connections of each kind, on one worker. Each has exchanged 64 KiB before it waits; memory is what the"
    echo "process has resident for each."
    echo
    cat "$table"
} >docs/proofs/connections.md
$passed
