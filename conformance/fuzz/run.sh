#!/bin/sh
# Fuzzes each reader of foreign bytes with libFuzzer: run.sh [SECONDS-PER-TARGET] [TARGET…].
#
# Needs `cargo install cargo-fuzz` and a nightly toolchain. The committed objects, captures and scenarios are the seeds.
# A finding ends the run with libFuzzer's report and leaves the input under artifacts/.
set -eu
cd "$(dirname "$0")"
seconds="${1:-3600}"
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- elf btf scenario capture program

seed() { # TARGET FILE…
    into="corpus/$1"
    mkdir -p "$into"
    shift
    for file in "$@"; do
        cp "$file" "$into/$(printf '%s' "$file" | tr '/.' '__')"
    done
}
objects="$(find ../../sim/tests/objects ../../datapath-bpf/prebuilt ../../kernel-tests/tests/objects -name '*.o')"
# shellcheck disable=SC2086 # lists are words on purpose
seed elf $objects
# shellcheck disable=SC2046
seed capture $(find ../../pcaps/captures -type f)
# shellcheck disable=SC2046
seed scenario $(find ../scenarios -name '*.toml')
mkdir -p corpus/btf corpus/program
for object in $objects; do
    name="$(basename "$object" .o)"
    llvm-objcopy-19 --dump-section ".BTF=corpus/btf/$name" "$object" /dev/null 2>/dev/null || true
    for section in .text xdp tc; do
        llvm-objcopy-19 --dump-section "$section=corpus/program/$name-$section" "$object" /dev/null 2>/dev/null || true
    done
done

for target in "$@"; do
    printf '\n== %s for %s s\n' "$target" "$seconds"
    cargo +nightly fuzz run "$target" -- -max_total_time="$seconds" -max_len=262144 -timeout=20 -rss_limit_mb=4096
done
