#!/bin/sh
# prove_fuzz.sh [SECONDS [TARGET...]]
# Fuzzes every target for SECONDS (1,200 by default) and writes docs/proofs/fuzz.md; with names, only these, and no
# report. A target that was fuzzed at the
# same sources is not fuzzed again: stopped, it goes on where it was. Needs cargo-fuzz (cargo install cargo-fuzz);
# the pinned compiler is told to take the flags that libfuzzer needs.
set -eu
cd "$(dirname -- "$0")/.."
seconds=${1:-1200}
all="ws client http query udp introduction forwarding shard analyst"
[ $# -eq 0 ] || shift
targets=${*:-$all}
# What a target measures, as one hash: the crates that it runs, and the tests' modules.
sources() {
    wire=HEAD:crates/evenkeel-wire/src
    case $1 in
        shard | analyst) rest="HEAD:crates/evenkeel-core/src HEAD:crates/evenkeel-core/tests/core" ;;
        client) rest=HEAD:crates/evenkeel-client/src ;;
        *) rest=HEAD:crates/evenkeel-core/tests/core/fuzz.rs ;;
    esac
    # shellcheck disable=SC2086
    git rev-parse $wire $rest | sha256sum | cut -c1-12
}
if ! git diff --quiet HEAD -- crates/evenkeel-wire crates/evenkeel-core crates/evenkeel-client fuzz; then
    echo "uncommitted changes in what is fuzzed: commit them first" >&2
    exit 1
fi
done_dir=target/prove-fuzz
mkdir -p "$done_dir"
export RUSTC_BOOTSTRAP=1
(cd fuzz && cargo fuzz build)

fuzz() {
    target=$1
    name=$done_dir/$target-$(sources "$target")
    if [ -f "$name.done" ] && [ "$(cat "$name.done")" -ge "$seconds" ]; then return 0; fi
    mkdir -p "fuzz/kept/$target"
    echo "$target: $seconds s"
    if (cd fuzz && cargo fuzz run "$target" "kept/$target" "corpus/$target" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048) >"$name.log" 2>&1; then
        echo "$seconds" >"$name.done"
    else
        tail -n 30 "$name.log" >&2
        echo "$target: the fuzzer found something; fuzz/artifacts/$target holds it" >&2
        return 1
    fi
}

# Two at a time: each has a core of its own on the smallest machine.
set -- $targets
while [ $# -gt 0 ]; do
    fuzz "$1" & first=$!
    second=
    if [ $# -gt 1 ]; then fuzz "$2" & second=$!; fi
    wait $first
    [ -z "$second" ] || wait "$second"
    shift; [ $# -eq 0 ] || shift
done
[ "$targets" = "$all" ] || exit 0

mkdir -p docs/proofs
report=docs/proofs/fuzz.md
{
    echo "# Fuzzing"
    echo
    # When it was done, not when this was written: nothing is fuzzed twice.
    echo "* date: $(date -u -r "$done_dir/shard-$(sources shard).done" '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo
    echo "libFuzzer with the address sanitizer. \`shard\` runs random operations on a shard beside a naive model and"
    echo "compares them after each. \`analyst\` makes up what announces say to the analyst, and checks its bounds. \`client\` reads the answers of hostile trackers in every dialect."
    echo "\`sources\` is the hash of what a target runs: while it stands, so do the figures."
    echo
    echo "| target | sources | seconds | executions | edges covered | inputs kept | crashes |"
    echo "|---|---|--:|--:|--:|--:|--:|"
    for target in $targets; do
        name=$done_dir/$target-$(sources "$target")
        log=$name.log
        last=$(grep -a 'DONE' "$log" | tail -n 1)
        edges=$(echo "$last" | sed -n 's/.*cov: \([0-9]*\).*/\1/p')
        kept=$(echo "$last" | sed -n 's/.*corp: \([0-9]*\).*/\1/p')
        runs=$(sed -n 's/^Done \([0-9]*\) runs.*/\1/p' "$log" | tail -n 1)
        crashes=$(find "fuzz/artifacts/$target" -type f 2>/dev/null | wc -l)
        echo "| $target | $(sources "$target") | $(cat "$name.done") | $runs | $edges | $kept | $crashes |"
    done
} >"$report"
cat "$report"
