#!/bin/sh
# Compiles bpf/<name>/<name>.bpf.c to prebuilt/<name>.o and records the digests in prebuilt/SHA256SUMS.
#
#   build.sh           rebuild what is committed
#   build.sh --check   rebuild elsewhere and fail unless every byte is what is committed
#
# The bytes depend on this compiler and on the files here, nothing else: no system header is read, the directory does
# not appear in line information, and DWARF, which BTF repeats, is taken out.
set -eu

release=19.1.7
flags="-O2 -g -target bpfel -mcpu=v3 -std=gnu23 -nostdinc -ffile-compilation-dir=. -Qn -fno-addrsig"
flags="$flags -Wall -Wextra -Werror -Wno-unused-function"

cd "$(dirname "$0")"
clang=${CLANG:-clang-19}
strip=${LLVM_STRIP:-llvm-strip-19}
for tool in "$clang" "$strip"; do
	command -v "$tool" >/dev/null || {
		echo "build.sh: $tool is missing; install the packages clang-19 and llvm-19" >&2
		exit 69
	}
done
case $("$clang" --version) in
*"clang version $release"*) ;;
*)
	echo "build.sh: $clang is not LLVM $release, other compilers give other bytes" >&2
	exit 69
	;;
esac

check=no
out=prebuilt
case ${1-} in
"") ;;
--check)
	check=yes
	out=$(mktemp -d)
	trap 'rm -rf "$out"' EXIT
	;;
*)
	echo "usage: build.sh [--check]" >&2
	exit 2
	;;
esac

for source in bpf/*/*.bpf.c; do
	object=$out/$(basename "$source" .bpf.c).o
	# shellcheck disable=SC2086
	"$clang" $flags -I bpf/include -c "$source" -o "$object"
	"$strip" -g "$object"
done
(cd "$out" && sha256sum ./*.o | sed 's| \./| |' >SHA256SUMS)

if [ $check = yes ]; then
	diff -r prebuilt "$out" || {
		echo "build.sh: prebuilt/ is not what bpf/ compiles to; run datapath-bpf/build.sh and commit the result" >&2
		exit 1
	}
	echo "prebuilt/ is what bpf/ compiles to: $(wc -l <"$out/SHA256SUMS") objects"
fi
