#!/bin/sh
# Random testing for a night, as root: nightly.sh [SEED] [OBJECT…].
#
# A million random programs and a million random packets against this machine's kernel, random helper calls, and an hour
# of libFuzzer for each reader. The seed is the day unless given; a difference is written to target/nightly and fails the
# script at its end. Objects besides the committed ones are the caller's: those of xdp-tools, kernel selftests.
set -eu
cd "$(dirname "$0")/.."
seed="${1:-$(date +%Y%m%d)}"
[ $# -gt 0 ] && shift
failed=0
out=target/nightly

step() { printf '\n== %s\n' "$*"; }
try() {
    "$@" || { echo "failed ($?): $*" >&2; failed=1; }
}

cargo build --release --locked -p bpftwin-conformance -p bpftwin-kernel-tests
step "random programs, seed $seed"
try target/release/bpftwin fuzz programs --seed "$seed" --count 1000000 --out "$out"

step "random packets, seed $seed"
# shellcheck disable=SC2046 # file names without blanks
set -- "$@" $(find datapath-bpf/prebuilt -name '*.o') \
    $(find /usr/lib/x86_64-linux-gnu/bpf /usr/libexec/xdp-tools -name '*.o' 2>/dev/null || true)
try target/release/bpftwin -v fuzz packets --seed "$seed" --count 1000000 --out "$out" "$@"

step "random helper calls"
HELPER_TRIALS=100000 try cargo test --release --locked -p bpftwin-kernel-tests --test helpers

if command -v cargo-fuzz >/dev/null; then
    step "readers of foreign bytes"
    for target in elf btf scenario capture program; do
        try conformance/fuzz/run.sh 3600 "$target"
    done
else
    echo "NOT RUN: libFuzzer needs \`cargo install cargo-fuzz\`" >&2
    failed=69
fi
exit "$failed"
