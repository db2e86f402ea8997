#!/bin/sh
# AddressSanitizer and valgrind over every test that touches `unsafe`, as root: sanitize.sh [asan|valgrind]
#
# AddressSanitizer (the nightly toolchain's) sees what Rust code does: the kernel plane's system calls and mapped rings, and
# the calls between compiled programs and the simulator. Compiled programs are machine code of our own making, which no
# compiler instruments: valgrind watches their every access, with smaller numbers of random programs. Valgrind knows BPF
# system calls, not their every rule: valgrind.supp names what it is wrong about.
set -eu
cd "$(dirname "$0")/.."
which="${1:-asan valgrind}"
target=x86_64-unknown-linux-gnu
failed=0

step() { printf '\n== %s\n' "$*"; }
try() {
    "$@" || { echo "failed ($?): $*" >&2; failed=1; }
}

# Tests that run compiled programs, and those of the code the jit stands on.
jit_tests="--test engines --test fuzz_programs --test interp --test out_of_bounds"

for tool in $which; do
    case "$tool" in
    asan)
        step "AddressSanitizer: simulator"
        export RUSTFLAGS="-Zsanitizer=address" CARGO_TARGET_DIR=target/asan
        # shellcheck disable=SC2086 # lists are words on purpose
        try cargo +nightly test --locked --target "$target" -p bpftwin-sim --lib $jit_tests
        step "AddressSanitizer: kernel plane"
        # The plane is a program of its own that the tests start: it is instrumented, too.
        try cargo +nightly test --locked --target "$target" -p bpftwin-kernel-tests
        step "AddressSanitizer: rbpf's calls"
        try cargo +nightly test --locked --target "$target" -p bpftwin-benches
        unset RUSTFLAGS CARGO_TARGET_DIR
        ;;
    valgrind)
        command -v valgrind >/dev/null || { echo "NOT RUN: apt-get install valgrind" >&2; exit 69; }
        step "valgrind: compiled programs"
        valgrind="valgrind --quiet --error-exitcode=9 --smc-check=all-non-file --suppressions=$PWD/kernel-tests/valgrind.supp"
        export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$valgrind"
        try cargo test --locked -p bpftwin-sim --lib bpf::jit
        # shellcheck disable=SC2086
        try env FUZZ_PROGRAMS=1000 cargo test --locked -p bpftwin-sim $jit_tests
        step "valgrind: system calls"
        try cargo test --locked -p bpftwin-kernel-tests --test sys
        unset CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER
        ;;
    *)
        echo "sanitize.sh [asan|valgrind]" >&2
        exit 64
        ;;
    esac
done
exit "$failed"
