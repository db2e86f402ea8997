#!/bin/sh
# Compiles bpf/engine.bpf.c to prebuilt/engine.o and, with packet pointers of 64 bits, to prebuilt/engine.wide.o;
# bpf/large.bpf.c to prebuilt/large.o.
#
#   build.sh           rebuild what is committed
#   build.sh --check   rebuild elsewhere and fail unless every byte is what is committed
set -eu

release=19.1.7
flags="-O2 -g -target bpfel -mcpu=v3 -std=gnu23 -nostdinc -ffile-compilation-dir=. -Qn -fno-addrsig -Wall -Werror"

cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
strip=${LLVM_STRIP:-llvm-strip-19}
case $("$clang" --version) in
*"clang version $release"*) ;;
*)
	echo "build.sh: $clang is not LLVM $release, other compilers give other bytes" >&2
	exit 69
	;;
esac

out=prebuilt
if [ "${1-}" = --check ]; then
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
fi
# shellcheck disable=SC2086
{
	"$clang" $flags -c bpf/engine.bpf.c -o "$out/engine.o"
	"$clang" $flags -DWIDE_CONTEXT -c bpf/engine.bpf.c -o "$out/engine.wide.o"
	"$clang" $flags -c bpf/large.bpf.c -o "$out/large.o"
}
"$strip" -g "$out/engine.o" "$out/engine.wide.o" "$out/large.o"
if [ "${1-}" = --check ]; then
	diff -r prebuilt "$out"
fi
