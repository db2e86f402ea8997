#!/bin/sh
# Installs what is missing, then checks everything: format, lints, docs, prebuilt objects, every test of every crate,
# and the comparison of the simulator with this machine's kernel.
#
# Tests that need privilege run as root, through sudo if need be. Without either the script ends with 69 after the
# rest has passed, naming what did not run: an unprivileged run never looks complete.
set -eu
cd "$(dirname "$0")"

step() { printf '\n== %s\n' "$*"; }

step "set-up"
sh kernel-tests/setup.sh

step "format, lints, docs"
cargo fmt --check
cargo clippy --workspace --all-targets --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --quiet

step "prebuilt objects are what their source compiles to"
sh datapath-bpf/build.sh --check
sh sim/tests/objects/build.sh --check
sh conformance/tests/suite/build.sh --check
sh conformance/tests/data/build.sh --check
sh kernel-tests/tests/objects/build.sh --check
sh kernel-tests/tests/verify/objects/build.sh --check
sh benches/build.sh --check

step "tests without privilege"
cargo test --locked
cargo test --locked -p bpftwin-benches --benches

step "build of the command line and the kernel plane"
cargo build --release --locked -p bpftwin-conformance -p bpftwin-kernel-tests

step "the simulator gives the same bytes in debug and release"
sh conformance/tests/determinism.sh

step "simulator and a kernel in a virtual machine agree, without privilege"
target/release/bpftwin kernels fetch 6.12
without="env"
[ "$(id -u)" != 0 ] || without="setpriv --inh-caps=-all --bounding-set=-all --no-new-privs"
$without target/release/bpftwin compare --plane sim,prog-run@6.12

if [ "$(id -u)" = 0 ]; then
    as_root="env"
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -E"
else
    echo "NOT RUN: kernel-tests and the comparison with the kernel need root or sudo" >&2
    exit 69
fi

step "tests that need a kernel"
CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER="$as_root" cargo test --locked -p bpftwin-kernel-tests

step "simulator and kernel agree"
$as_root target/release/bpftwin compare --plane sim,prog-run,netns

step "the verifier's work is what is recorded"
$as_root sh datapath-bpf/verify.sh gate || {
    [ $? = 77 ] && echo "NOT COMPARED: datapath-bpf/verify.lock has nothing for this kernel"
}
