#!/bin/sh
# Builds many large suites of C unit tests, which are not committed, and says how long `bpftwin suite` takes for them.
#
#   stress.sh [FOLDER] [OBJECTS]     where to build (a new folder of its own, if none is given), and how many (120)
#
# Each object has more than 20,000 instructions, more than 200 maps, among them LRU hashes of 524,288 entries, and three
# or four tests; two of the tests go through tail calls. The command must be built: cargo build --release.
set -eu
cd "$(dirname "$0")"
folder=${1:-$(mktemp -d)}
objects=${2:-120}
bpftwin=${BPFTWIN:-../../../target/release/bpftwin}
mkdir -p "$folder"

maps() {
	number=0
	while [ $number -lt 200 ]; do
		case $((number % 4)) in
		0) kind=BPF_MAP_TYPE_LRU_HASH entries=524288 ;;
		1) kind=BPF_MAP_TYPE_HASH entries=65536 ;;
		2) kind=BPF_MAP_TYPE_ARRAY entries=65536 ;;
		3) kind=BPF_MAP_TYPE_PERCPU_HASH entries=16384 ;;
		esac
		echo "MAP(map_$number, $kind, $entries)"
		number=$((number + 1))
	done
}

# What a stage does: a kernel lets a program use 64 maps.
uses() {
	round=0
	while [ $round -lt 5 ]; do
		number=$(($1 * 40))
		while [ $number -lt $(($1 * 40 + 40)) ]; do
			echo "USE(map_$number, $((number + round * 1000)))"
			number=$((number + 1))
		done
		round=$((round + 1))
	done
}

maps >"$folder/maps.h"
for stage in 0 1 2 3 4; do
	uses $stage >"$folder/uses_$stage.h"
done

one() {
	object=$folder/stress_$1.o
	[ -s "$object" ] && return
	"${CLANG:-clang-19}" -O2 -g -target bpfel -mcpu=v3 -nostdinc -DSEED="$1" -I . -I "$folder" \
		-I ../../../datapath-bpf/bpf/include -c stress.c -o "$object"
	"${LLVM_STRIP:-llvm-strip-19}" -g "$object"
}

number=0
while [ $number -lt "$objects" ]; do
	one $number &
	number=$((number + 1))
	one $number
	number=$((number + 1))
	wait
done

"$bpftwin" suite -q "$folder"
