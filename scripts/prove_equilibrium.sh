#!/bin/sh
# Simulates communities around the core, each policy on five seeds that nothing was tuned with, holds what comes out
# against what the policies have to show, and writes docs/proofs/equilibrium.md and docs/pictures/sim-*.svg. Some minutes.
#   --controller  the experiment alone, with the threshold that it moves: writes docs/proofs/controller.md, ten minutes of a core
#   --smoke  runs all of it small and short, in seconds, judges nothing and writes no report
set -eu
cd "$(dirname -- "$0")/.."
case ${1:-} in
    '' | --smoke | --controller) ;;
    *)
        echo "usage: $0 [--smoke | --controller]" >&2
        exit 2
        ;;
esac
lab=${EVENKEEL_LAB:-}
if [ -z "$lab" ]; then
    cargo build --quiet --release --locked -p evenkeel-lab
    lab=${CARGO_TARGET_DIR:-target}/release/evenkeel-lab
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
if [ "${1:-}" = --smoke ]; then
    "$lab" sim prove --smoke --markdown "$folder/report" --json "$folder/json" --svg "$folder"
    cat "$folder/report"
    exit
fi

# The first lines of a report.
head_of() {
    echo "# $1"
    echo
    echo "\`just prove-equilibrium$2\` writes this file; [docs/equilibrium.md](../equilibrium.md) says what is simulated."
    echo "Rows that fall short stand here as they are."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r); $seconds seconds"
}

seconds=$(date +%s)
passed=true
if [ "${1:-}" = --controller ]; then
    "$lab" sim controller --seeds 921 --more-of-random 922,923,924 --markdown "$folder/report" || passed=false
    [ -s "$folder/report" ] || exit 1
    seconds=$(($(date +%s) - seconds))
    {
        head_of "What the experiment of a tracker finds, and where there is nothing" " --controller"
        cat "$folder/report"
    } >docs/proofs/controller.md
    cat docs/proofs/controller.md
    $passed
    exit
fi
"$lab" sim prove --seeds 991,992,993,994,995 --markdown "$folder/report" --json "$folder/json" --svg "$folder" ||
    passed=false
[ -s "$folder/report" ] || exit 1
seconds=$(($(date +%s) - seconds))
mkdir -p docs/proofs docs/pictures target/prove-equilibrium
cp "$folder"/sim-*.svg docs/pictures/
cp "$folder/json" target/prove-equilibrium/runs.json
{
    head_of "What the policies do to a community" ""
    cat "$folder/report"
} >docs/proofs/equilibrium.md
sed -n '1,/^## All cells/p' docs/proofs/equilibrium.md
$passed
