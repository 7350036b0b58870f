#!/bin/sh
# Announces to a private tracker at a steady rate while its database is gone, in five ways, and while acknowledgements are
# lost, and writes docs/proofs/outage.md. By default PostgreSQL is gone for ten minutes three times, a disk is full for one:
# three quarters of an hour.
#   usage: prove_outage.sh [seconds of an outage [announces a second [lost acknowledgements]]]
set -eu
cd "$(dirname -- "$0")/.."
seconds=${1:-600} rate=${2:-20000} cuts=${3:-200}
report=$(mktemp)
trap 'rm -f "$report"' EXIT
cargo test --quiet --release --locked -p evenkeel --test it --no-run
verdict=passed
EVENKEEL_OUTAGE_SECS=$seconds EVENKEEL_OUTAGE_RATE=$rate EVENKEEL_OUTAGE_CUTS=$cuts EVENKEEL_OUTAGE_REPORT=$report \
    cargo test --release --locked -p evenkeel --test it outage -- --test-threads 1 || verdict="**failed**"
mkdir -p docs/proofs
{
    echo "# Announces and books while the database is gone"
    echo
    echo "\`just prove-outage\` writes this file. 400 users announce over four HTTP connections, whatever happens to the database"
    echo "of their private tracker: with it for a tenth of the time, without it, with it again, and without it once more. The"
    echo "server, who announces and the database share the machine. p99 is that of each of these times; it holds if it is no"
    echo "more than a fifth or 2 ms longer without the database. Books are exact when each byte that was moved is booked, once."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo "* verdict: $verdict"
    echo
    echo "| database | outage | announces | announces/s | failed | p99 in us | holds | waiting in the end | drained after | exact |"
    echo "|---|--:|--:|--:|--:|--:|---|--:|--:|---|"
    sort "$report"
} >docs/proofs/outage.md
cat docs/proofs/outage.md
[ "$verdict" = passed ]
