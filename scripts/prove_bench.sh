#!/bin/sh
# Measures evenkeel beside its peers, an hour and a half, and writes docs/benchmarks.md and docs/pictures/benchmarks.svg;
# with --tcp first, HTTP and WebTorrent instead of UDP, half an hour: docs/benchmarks-tcp.md and
# docs/pictures/benchmarks-tcp.svg.
# The machine should do nothing else meanwhile. Each turn is kept below target/prove-bench, by the commit of what is
# measured: stopped, it goes on where it was.
#   --report  measures nothing, and writes the report of what is there
#   --smoke   runs everything small and short, in a minute, and writes no report; peers that are not installed are
#             left out. Without --tcp before it, that is UDP and then the rest
set -eu
cd "$(dirname -- "$0")/.."
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_RUSTFLAGS
name=benchmarks
if [ "${1:-}" = --tcp ]; then
    name=benchmarks-tcp
    shift
fi
mode=${1:-}
plan=crates/evenkeel-lab/$name.toml
measured="crates Cargo.toml Cargo.lock rust-toolchain.toml"
case $mode in
    --smoke) ;;
    '' | --report)
        # shellcheck disable=SC2086
        if ! git diff --quiet HEAD -- $measured; then
            echo "uncommitted changes in what is measured: commit them first" >&2
            exit 1
        fi
        [ -n "$mode" ] || sh scripts/install_peers.sh
        ;;
    *)
        echo "usage: $0 [--tcp] [--report | --smoke]" >&2
        exit 2
        ;;
esac
cargo build --quiet --release --locked -p evenkeel -p evenkeel-lab
lab=${CARGO_TARGET_DIR:-target}/release/evenkeel-lab

# The certificate of all servers that speak TLS.
tls=${CARGO_TARGET_DIR:-target}/prove-bench/tls
mkdir -p "$tls"
[ -s "$tls/cert.pem" ] || {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=localhost \
        -keyout "$tls/key.pem" -out "$tls/cert.pem.new" 2>/dev/null || { echo "openssl made no certificate" >&2; exit 1; }
    mv "$tls/cert.pem.new" "$tls/cert.pem"
}

# A network of our own: nobody else's packets, and addresses enough for IPv6. What runs in a process namespace ends with
# its first process, whatever happens: a server that was left behind would disturb all that follow.
as_root=
[ "$(id -u)" -eq 0 ] || as_root="--user --map-root-user"
bench() {
    # shellcheck disable=SC2016,SC2086
    unshare $as_root --net --pid --fork --kill-child --mount-proc sh -c '
        ip link set lo up && ip -6 route add local fd00::/64 dev lo && "$0" bench "$@"' "$lab" "$plan" "$@" &
    child=$!
    trap 'kill -KILL "$child" 2>/dev/null || true; exit 130' INT TERM
    wait "$child"
}

if [ "$mode" = --smoke ]; then
    bench --smoke
    [ "$name" = benchmarks ] || exit 0
    plan=crates/evenkeel-lab/benchmarks-tcp.toml
    bench --smoke
    exit
fi

# What judges and writes may change without a new measurement, and so may tests and the plan: a turn whose plan has changed
# is measured anew by itself.
# shellcheck disable=SC2086
key=$(git ls-tree -r HEAD -- $measured |
    grep -vE 'evenkeel-lab/(src/bench/(fair|figure|plan|record|report|table)\.rs|[a-z-]*\.toml)$|/tests(/|\.rs$)' |
    sha256sum | cut -c1-12)
kept=target/prove-bench/$key
[ "$name" = benchmarks ] || kept=target/prove-bench/$name-$key
mkdir -p "$kept"
if [ "$mode" = --report ] && [ -z "$(ls "$kept")" ]; then
    echo "nothing is in $kept: these sources were not measured" >&2
    exit 1
fi
echo "results are kept in $kept" >&2
passed=true
flags=
[ -z "$mode" ] || flags=--only-kept
bench --resume "$kept" --markdown "$kept/report.md" --svg "$kept/plot.svg" $flags || passed=false
[ -s "$kept/report.md" ] || exit 1
day() { date -u -d "@$(find "$kept" -name '*.json' -printf '%T@\n' | sort -n | "$1" -n 1)" '+%Y-%m-%d %H:%M'; }
cp "$kept/plot.svg" "docs/pictures/$name.svg"
{
    if [ "$name" = benchmarks ]; then
        echo "# Benchmarks"
        echo
        echo "\`just prove-bench\` writes this file; [HTTP and WebTorrent](benchmarks-tcp.md) have one of their own."
    else
        echo "# Benchmarks of HTTP and WebTorrent"
        echo
        echo "\`just prove-bench --tcp\` writes this file; [UDP](benchmarks.md) has one of its own."
    fi
    echo "[The plan](../crates/evenkeel-lab/$name.toml) says what is measured, and"
    echo "how each server is configured. Rows that fall short stand here as they are."
    echo
    echo "* date: $(day head) to $(day tail) UTC"
    echo "* commit: $(git rev-parse --short HEAD); sources as measured: \`$key\`"
    echo "* compiler: $(rustc --version), release profiles, no RUSTFLAGS: one \`target-cpu\` for all that is built here"
    cat "$kept/report.md"
} >"docs/$name.md"
sed -n '/^## Rows/,/^## Workloads/p' "docs/$name.md"
$passed
