#!/bin/sh
# Compiles the C unit tests these tests run: <name>.bpf.c to <name>.o, with the compiler and flags of datapath-bpf/build.sh.
#
#   build.sh           rebuild what is committed
#   build.sh --check   rebuild elsewhere and fail unless every byte is what is committed
set -eu
cd "$(dirname "$0")"

out=.
case ${1-} in
"") ;;
--check)
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
	;;
*)
	echo "usage: build.sh [--check]" >&2
	exit 2
	;;
esac

for source in *.bpf.c; do
	object=${source%.bpf.c}.o
	"${CLANG:-clang-19}" -O2 -g -target bpfel -mcpu=v3 -nostdinc -ffile-compilation-dir=. -Qn -fno-addrsig -Wall -Wextra \
		-Wno-unused-parameter -Wno-unused-variable -Wno-unused-but-set-variable -Werror \
		-I ../../../datapath-bpf/bpf/include -c "$source" -o "$out/$object"
	"${LLVM_STRIP:-llvm-strip-19}" -g "$out/$object"
	[ "$out" = . ] || cmp "$object" "$out/$object"
done
