#!/bin/sh
# Holds the prebuilt objects to verify.lock on the kernel of this machine, or records them anew:
#
#   verify.sh gate|record [OPTION…]     options are those of `bpftwin verify`
#
# Needs `bpftwin` and `bpftwin-kernel` in ../target/release and privilege. Exit codes are those of `bpftwin`: 77 says that
# nothing is recorded for a kernel like this one.
set -eu
[ $# -gt 0 ] || {
	echo "usage: verify.sh gate|record [OPTION…]" >&2
	exit 2
}
mode=$1
shift
cd "$(dirname "$0")"
exec ../target/release/bpftwin verify "$mode" --lock verify.lock --configs verify.toml --llvm 19.1.7 "$@" \
	prebuilt/*.o
