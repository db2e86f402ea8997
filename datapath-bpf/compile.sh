#!/bin/sh
# Compiles the objects of a folder of tests, each <name>.bpf.c to <name>.o beside it, with the headers of this crate.
#
#   compile.sh FOLDER [FLAG…]           rebuild what is committed
#   compile.sh FOLDER [FLAG…] --check   rebuild elsewhere and fail unless every byte is what is committed
set -eu

release=19.1.7
include="$(cd "$(dirname "$0")" && pwd)/bpf/include"
clang=${CLANG:-clang-19}
strip=${LLVM_STRIP:-llvm-strip-19}
[ $# -gt 0 ] || {
	echo "usage: compile.sh FOLDER [FLAG…] [--check]" >&2
	exit 2
}
cd "$1"
shift
case $("$clang" --version) in
*"clang version $release"*) ;;
*)
	echo "compile.sh: $clang is not LLVM $release, other compilers give other bytes" >&2
	exit 69
	;;
esac

out=.
flags="-O2 -g -target bpfel -mcpu=v3 -nostdinc -ffile-compilation-dir=. -Qn -fno-addrsig -Wall -Wextra -Werror"
for argument in "$@"; do
	case $argument in
	--check)
		out=$(mktemp -d)
		trap 'rm -rf "$out"' EXIT
		;;
	*) flags="$flags $argument" ;;
	esac
done

for source in *.bpf.c; do
	object=${source%.bpf.c}.o
	# shellcheck disable=SC2086
	"$clang" $flags -I "$include" -c "$source" -o "$out/$object"
	"$strip" -g "$out/$object"
	[ "$out" = . ] || cmp "$object" "$out/$object"
done
for object in *.o; do
	[ -f "${object%.o}.bpf.c" ] || {
		echo "compile.sh: $object has no source" >&2
		exit 1
	}
done
