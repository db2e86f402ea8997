#!/bin/sh
# Rebuilds types.btf from the running kernel's types. Needs bpftool, clang-19 and llvm-objcopy-19.
set -eu
cd "$(dirname "$0")"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
bpftool btf dump file "${1:-/sys/kernel/btf/vmlinux}" format c >"$tmp/vmlinux.h"
clang-19 --target=bpfel -g -O2 -I"$tmp" -c types.c -o "$tmp/types.o"
llvm-objcopy-19 --dump-section .BTF=types.btf "$tmp/types.o" "$tmp/rest.o"
