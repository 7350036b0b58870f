#!/bin/sh
# Opens and ends WebTorrent sockets on the real program for MINUTES (60 by default), 2,000 at a time, checks what they
# hear and what remains of them, and writes docs/proofs/ws-churn.md. Stopped, it begins anew: it is one run that counts.
# With --no-report it only passes or fails. Other options behind MINUTES are those of `evenkeel-lab churn`.
set -eu
cd "$(dirname -- "$0")/.."
report=docs/proofs/ws-churn.md
if [ "${1:-}" = --no-report ]; then
    report=
    shift
fi
minutes=${1:-60}
[ $# -eq 0 ] || shift
cargo build --quiet --release --locked -p evenkeel -p evenkeel-lab
target=${CARGO_TARGET_DIR:-target}/release
folder=$(mktemp -d)
tracker=
finish() {
    if [ -n "$tracker" ]; then
        kill "$tracker" 2>/dev/null || true
        wait "$tracker" || true
    fi
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 130' INT TERM

EVENKEEL_SERVER__PORT=0 EVENKEEL_ADMIN__ADDRESS=127.0.0.1:0 \
    "$target/evenkeel" --state-dir "$folder/state" >"$folder/banner" 2>"$folder/log" &
tracker=$!
url=
for _ in $(seq 100); do
    url=$(sed -n 's|.*\(ws://127\.0\.0\.1:[0-9]*/announce\).*|\1|p' "$folder/banner" | head -n 1)
    [ -z "$url" ] || break
    kill -0 "$tracker" 2>/dev/null || break
    sleep 0.1
done
if [ -z "$url" ]; then
    cat "$folder/banner" "$folder/log" >&2
    echo "the tracker does not say where it speaks WebTorrent" >&2
    exit 1
fi

passed=true
"$target/evenkeel-lab" churn --url "$url" --minutes "$minutes" --pid "$tracker" --report "$folder/report" "$@" ||
    passed=false
if [ -n "$report" ] && [ -s "$folder/report" ]; then
    mkdir -p docs/proofs
    {
        echo "# WebTorrent sockets that come and go"
        echo
        echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
        echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
        echo "* program: $("$target/evenkeel" --version)"
        echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
        cat "$folder/report"
    } >"$report"
fi
[ ! -s "$folder/report" ] || cat "$folder/report"
if [ -s "$folder/log" ]; then
    tail -n 20 "$folder/log" >&2
fi
$passed
