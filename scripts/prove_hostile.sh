#!/bin/sh
# Lets hostile clients loose on the real program for SECONDS over HTTP and again over WebTorrent (120 each by default),
# beside as many good ones, checks that these are answered within a second and that memory stays flat, and writes
# docs/proofs/hostile.md. With --no-report it only passes or fails, and warms up for less; with --dev it takes the
# development build, which is several times as slow.
set -eu
cd "$(dirname -- "$0")/.."
report=docs/proofs/hostile.md
warmup=30
profile=release
while :; do
    case ${1:-} in
    --no-report) report= warmup=4 ;;
    --dev) profile=dev ;;
    *) break ;;
    esac
    shift
done
seconds=${1:-120}
cargo build --quiet --profile "$profile" --locked -p evenkeel -p evenkeel-lab
folder=$(mktemp -d)
tracker=
finish() {
    if [ -n "$tracker" ]; then
        kill "$tracker" 2>/dev/null || true
        wait "$tracker" || true
    fi
    tracker=
}
trap 'finish; rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
target=${CARGO_TARGET_DIR:-target}/$profile
[ "$profile" = release ] || target=${CARGO_TARGET_DIR:-target}/debug

# A fresh tracker for each dialect, at its default limits.
start() {
    # What the last one said of itself is not of this one.
    : >"$folder/banner"
    EVENKEEL_SERVER__PORT=0 EVENKEEL_ADMIN__ADDRESS=127.0.0.1:0 \
        "$target/evenkeel" --state-dir "$folder/state" >>"$folder/banner" 2>"$folder/log" &
    tracker=$!
    port=
    for _ in $(seq 100); do
        port=$(sed -n 's|.*udp://127\.0\.0\.1:\([0-9]*\)/announce.*|\1|p' "$folder/banner" | head -n 1)
        [ -z "$port" ] || return 0
        kill -0 "$tracker" 2>/dev/null || break
        sleep 0.1
    done
    cat "$folder/banner" "$folder/log" >&2
    echo "the tracker does not say where it is" >&2
    exit 1
}

passed=true
for protocol in http ws; do
    start
    # 100 connections that mean well and 100 that do not.
    "$target/evenkeel-lab" load --target "127.0.0.1:$port" --protocol "$protocol" --server-pid "$tracker" \
        --connections 100 --peers 1000 --torrents 100 --torrents-per-socket 10 --rate 200 --hostile 0.5 \
        --warmup "$warmup" --duration "$seconds" --timeout 5 >"$folder/$protocol" 2>"$folder/err" || {
        passed=false
        cat "$folder/err" "$folder/log" >>"$folder/$protocol"
    }
    cat "$folder/$protocol"
    finish
done

if [ -n "$report" ]; then
    mkdir -p docs/proofs
    {
        echo "# Hostile clients over HTTP and WebTorrent"
        echo
        echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
        echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
        echo "* program: $("$target/evenkeel" --version), $profile build"
        echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
        if $passed; then echo "* verdict: passed"; else echo "* verdict: failed"; fi
        echo
        echo "100 hostile clients beside 100 good ones, which ask 200 times a second together; $seconds seconds are measured after"
        echo "$warmup seconds of the same. Each hostile client does one thing after the other, on a connection for each: over HTTP"
        echo "a head that drips, headers, targets and bodies without end, garbage, requests in a row whose answers it never reads,"
        echo "or nothing at all; over WebTorrent dripping and endless heads, frames without a mask, under a wrong one, with reserved"
        echo "bits, of no kind, of 2^63 bytes, in pieces without end or byte by byte, a session description of a MiB, offers of"
        echo "60 kB, broken and deep JSON, pings without end, messages in a row whose answers it never reads."
        echo
        echo "It must hold that each good request is answered, the slowest within 1 s; that the memory of the tracker, looked at"
        echo "every second, is never more than 16 MiB above that at the begin of the measured time; and that the tracker itself"
        echo "ends each hostile connection that does not end by itself."
        for protocol in http ws; do
            printf '\n```text\n'
            sed 's/127\.0\.0\.1:[0-9]*: /127.0.0.1: /' "$folder/$protocol"
            printf '```\n'
        done
    } >"$report"
fi
$passed
