#!/bin/sh
# Has communities of real clients live by the policy rbs of the real program, and by random beside it, holds what comes out
# against what the policy has to show, and writes docs/proofs/swarm.md and docs/pictures/swarm.svg. Half an hour. Runs that
# were made with the same program and the same clients are not made again: stopped, it goes on where it was.
#   --smoke  one pair of a minute: judges only whether all of it works, and writes no report
set -eu
cd "$(dirname -- "$0")/.."
case ${1:-} in
    '' | --smoke) ;;
    *)
        echo "usage: $0 [--smoke]" >&2
        exit 2
        ;;
esac
sh tests/clients/install.sh
cargo build --quiet --release --locked -p evenkeel -p evenkeel-lab
built=${CARGO_TARGET_DIR:-target}/release
if [ "${1:-}" = --smoke ]; then
    exec "$built/evenkeel-lab" swarm --smoke --evenkeel "$built/evenkeel"
fi

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM
passed=true
"$built/evenkeel-lab" swarm --evenkeel "$built/evenkeel" --resume target/prove-swarm \
    --markdown "$folder/report" --svg "$folder/swarm.svg" || passed=false
[ -s "$folder/report" ] || exit 1
mkdir -p docs/proofs docs/pictures
cp "$folder/swarm.svg" docs/pictures/
{
    echo "# What the policy rbs does to communities of real clients"
    echo
    echo "\`just prove-swarm\` writes this file; [docs/equilibrium.md](../equilibrium.md#real-clients) says what is measured."
    echo "Rows that fall short stand here as they are."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock tests/clients || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    cat "$folder/report"
} >docs/proofs/swarm.md
sed -n '1,/^## All cells/p' docs/proofs/swarm.md
$passed
