#!/bin/sh
# Rebuilds the objects of this directory. Needs clang-19, llvm-strip-19 and libbpf-dev.
#
#   build.sh           rebuild what is committed
#   build.sh --check   rebuild elsewhere and fail unless every byte is what is committed
set -eu
cd "$(dirname "$0")"
if [ "${1-}" = --check ]; then
	elsewhere=$(mktemp -d)
	trap 'rm -rf "$elsewhere"' EXIT
	cp -R . "$elsewhere"
	find "$elsewhere" -name '*.o' -delete
	sh "$elsewhere/build.sh"
	diff -r . "$elsewhere"
	exit
fi
flags="-O2 -g -mcpu=v3 -Wall -Werror -Wno-unused -fdebug-prefix-map=$PWD=. -I/usr/include/$(uname -m)-linux-gnu"
compile() { # source output extra…
	source=$1 output=$2
	shift 2
	clang-19 --target=bpfel $flags "$@" -c "$source" -o "$output"
	llvm-strip-19 -g "$output"
}
compile whole.bpf.c whole.o
compile small.bpf.c small.o -mcpu=v2
for case in legacy_maps static_map map_without_type map_attribute_unknown map_sizes_differ map_refused_by_kernel \
	map_not_modelled tail_call_to_subprogram prog_array_of_unloaded prog_array_of_two_types undefined_function \
	undefined_variable section_unknown kernel_function kernel_variable config_not_set kernel_types helper_refused \
	stripped; do
	compile refused.bpf.c "refused/$case.o" "-D$case"
done
compile refused.bpf.c refused/no_types.o -Dno_types -g0
compile refused.bpf.c refused/big_endian.o -Dbig_endian --target=bpfeb
llvm-strip-19 --strip-all refused/stripped.o
clang-19 --target=bpfel $flags -g0 -Dsection_unknown -emit-llvm -c refused.bpf.c -o refused/bitcode.o
compile kfuncs.bpf.c kfuncs.o
compile core.bpf.c core.o
compile core_kernel.c core_kernel.o
compile core_abi.bpf.c core_abi.o
compile tagged.bpf.c tagged.o
compile legacy.bpf.c legacy_short.o -DSHORT
compile legacy.bpf.c legacy_long.o
