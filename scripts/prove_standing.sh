#!/bin/sh
# Lets members and cheaters live for a month around the core, on seeds that nothing was tuned with, and restores ten million
# identities; holds what comes out against what standing has to show, and writes docs/proofs/standing.md. A minute or two.
set -eu
cd "$(dirname -- "$0")/.."
[ $# -eq 0 ] || {
    echo "usage: $0" >&2
    exit 2
}
lab=${EVENKEEL_LAB:-}
if [ -z "$lab" ]; then
    cargo build --quiet --release --locked -p evenkeel-lab
    lab=${CARGO_TARGET_DIR:-target}/release/evenkeel-lab
fi
report=$(mktemp)
trap 'rm -f "$report"' EXIT
trap 'exit 130' INT TERM
seconds=$(date +%s)
passed=true
"$lab" standing --seeds 956,957,958,959,960 --markdown "$report" || passed=false
[ -s "$report" ] || exit 1
seconds=$(($(date +%s) - seconds))
mkdir -p docs/proofs
{
    echo "# What is earned in a month"
    echo
    echo "\`just prove-standing\` writes this file; [docs/standing.md](../standing.md) says what is simulated."
    echo "Rows that fall short stand here as they are. Amounts fade as those of the analyst do."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r); $seconds seconds"
    cat "$report"
} >docs/proofs/standing.md
cat docs/proofs/standing.md
$passed
