#!/bin/sh
# Starts the tracker with a large community in SQLite, and writes docs/proofs/load.md: how long it takes until it is served,
# and what it takes of memory. Some minutes.
#   usage: prove_load.sh [users, a million by default]
set -eu
cd "$(dirname -- "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT
EVENKEEL_LOAD_USERS=${1:-1000000} EVENKEEL_LOAD_REPORT=$report \
    cargo test --quiet --release --locked -p evenkeel --test it a_large_community_is_loaded
mkdir -p docs/proofs
{
    echo "# A large community"
    echo
    echo "\`just prove-load\` writes this file. Users, torrents and sessions are written into SQLite, one after the other; after each"
    echo "the tracker is started. The time goes from the start of the program to the first 200 of \`/ready\`, with all that the rows"
    echo "before have brought. Memory is the growth of the resident set; what the allocator holds back is in it. Beside it stands what the"
    echo "tables take by themselves, of which \`evenkeel_session_bytes\` and the like tell."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo
    cat "$report"
} >docs/proofs/load.md
cat docs/proofs/load.md
