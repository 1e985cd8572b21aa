#!/usr/bin/env bash
# The whole ladder of tests: build, unit tests and lints, real peers, demo, kill loops. Installs
# what it needs from Debian's packages and the Rust, npm and Python registries; works on a fresh
# machine as root.
# Stops at the first rung that fails and says which; prints what each rung took.
#
# usage: ./check.sh [--quick] [--no-peers]
#   --quick      build, unit tests and lints only
#   --no-peers   without Asterisk, Kamailio, SIPp and the public ARI clients
set -euo pipefail
cd "$(dirname "$0")"

quick=no peers=yes
for argument in "$@"; do
    case $argument in
        --quick) quick=yes ;;
        --no-peers) peers=no ;;
        *) sed -n '2,9p' "$0"; exit 2 ;;
    esac
done

cache=.peers
log=$cache/check.log
mkdir -p "$cache"
: > "$log"
shares=()
current=preparation

# A backtrace hides the sentence that a failed test says; ask for it with RUST_BACKTRACE=1.
export RUST_BACKTRACE=${RUST_BACKTRACE:-0} CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

trap 'status=$?; [ $status -eq 0 ] || { print_shares; echo "check.sh: FAILED at: $current" >&2; }' EXIT

print_shares() {
    [ ${#shares[@]} -eq 0 ] && return 0
    printf '\n%-28s %9s %9s\n' rung took budget
    printf '%-28s %9s %9s\n' "${shares[@]}"
}

# rung NAME MINUTES COMMAND...: runs it, keeps its output for the sum, measures it.
rung() {
    local name=$1 minutes=$2 start=$SECONDS took; shift 2
    current=$name
    printf '\n== %s\n' "$name"
    "$@" 2>&1 | tee -a "$log"
    took=$((SECONDS - start))
    shares+=("$name" "${took} s" "${minutes} min")
    [ "$took" -le $((minutes * 60)) ] || echo "check.sh: $name took longer than its share" >&2
}

# needs COMMAND:PACKAGE...: installs what this machine lacks.
needs() {
    local pair missing=()
    for pair in "$@"; do command -v "${pair%%:*}" > /dev/null || missing+=("${pair##*:}"); done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" = 0 ] || { echo "missing: ${missing[*]}; apt-get install them" >&2; return 1; }
    apt-get -qq update && apt-get -qq -y install --no-install-recommends "${missing[@]}"
}

prepare() {
    needs cc:gcc
    # gcc only recommends what every link needs.
    [ -e /usr/include/stdio.h ] || needs /nowhere:libc6-dev
    command -v cargo > /dev/null || { echo "cargo is missing: install Rust 1.90 or newer" >&2; return 1; }
    cargo --version
    command -v cargo-deny > /dev/null ||
        cargo install -q --locked cargo-deny --version 0.20.2
}

build() {
    cargo build -q --locked --release
    cargo test -q --locked --workspace --no-run
}

unit_and_lint() {
    cargo fmt --all --check
    cargo clippy -q --locked --workspace --all-targets -- -D warnings
    cargo check -q --locked --lib --no-default-features
    cargo deny --log-level error check bans licenses sources
    # Each bench once, which measures nothing.
    cargo test -q --locked --workspace --bench '*'
    cargo test --locked --workspace
}

# The planted bugs are compiled into a program of their own, from the same dependencies; to put the
# plain one back compiles nothing.
simulation() {
    local target=${CARGO_TARGET_DIR:-target}/release
    cargo build -q --locked --release --features mutants
    cp "$target/portkeeper" "$cache/portkeeper-mutants"
    cargo build -q --locked --release
    "$target/portkeeper" sim --seeds 500 --json
    "$target/portkeeper" sim --nodes 3 --seeds 5000 --json
    "$cache/portkeeper-mutants" sim --mutants --json
}

real_peers() {
    PORTKEEPER_PEERS=1 cargo test --locked --test peers
}

portkeeper=${CARGO_TARGET_DIR:-target}/release/portkeeper

# nothing_lost JSON [KEY...]: whether a demo or a measurement lost no call and no digit, and has 0 for
# each of the further keys.
nothing_lost() {
    local json=$1 key
    for key in calls_lost digits_lost digits_doubled "${@:2}"; do
        [[ $json =~ \"$key\":0[,}] && ! $json =~ \"$key\":[^0] ]] ||
            { echo "check.sh: $key is not 0: $json" >&2; return 1; }
    done
}

demo() {
    local result out began=$SECONDS
    out=$(mktemp -d)
    result=$("$portkeeper" demo --json --out "$out" | tail -n 1)
    echo "$result"
    nothing_lost "$result" failed
    [ $((SECONDS - began)) -lt 30 ] || { echo "the demo took 30 s or more" >&2; return 1; }
    # Nine seconds of 16-bit sound at 8 kHz, for two callers. The agent's is agent.wav.
    [ "$(find "$out" -name 'caller-of-*.wav' -size +100k | wc -l)" = 2 ] ||
        { echo "the demo left no two WAV files in $out" >&2; return 1; }
    rm -r "$out"
    [ $peers = no ] || "$portkeeper" demo --against-asterisk
}

# Everything of the primary is killed fifty times under calls. Then instances are frozen and killed under
# calls, again and again for two minutes.
kill_loops() {
    local began result loops=0 out
    result=$("$portkeeper" bench promotion --ports 10 --calls 4 --runs 50 --power --json | tail -n 1)
    echo "$result"
    nothing_lost "$result" stale_claims acknowledged_lost
    began=$SECONDS
    out=$(mktemp -d)
    while [ $((SECONDS - began)) -lt 120 ]; do
        result=$("$portkeeper" bench port-switch --ports 30 --runs 5 --json | tail -n 1)
        nothing_lost "$result" false_verdicts
        result=$("$portkeeper" demo --json --out "$out" 2> "$out/told" | tail -n 1) ||
            { cat "$out/told" >&2; return 1; }
        nothing_lost "$result"
        loops=$((loops + 1))
    done
    rm -r "$out"
    echo "$loops loops, each with 6 hangs and 6 crashes: no call lost, no digit lost or doubled, no verdict false"
}

rung preparation 8 prepare
rung build 8 build
rung "unit tests and lints" 4 unit_and_lint
[ $quick = yes ] || rung simulation 8 simulation
if [ $quick = no ] && [ $peers = yes ]; then
    rung "installing peers" 3 tests/peers/install.sh
    rung "real peers" 10 real_peers
fi
if [ $quick = no ]; then
    rung demo 2 demo
    rung "kill loops" 8 kill_loops
fi

current=summary
print_shares
echo
# Every runner's closing line, added up.
awk '/^test result: / { passed += $4; failed += $6; ignored += $8 }
     END { printf "test result: %s. %d passed; %d failed; %d ignored; 0 measured; 0 filtered out\n",
           failed ? "FAILED" : "ok", passed, failed, ignored; exit (failed || !passed) }' "$log"
