#!/bin/sh
# Objects written elsewhere, as root: external-objects.sh [FOLDER [OBJECT-FOLDER…]].
#
# Takes those of Debian's xdp-tools and of the BPF library for Go, builds the selftests of kernel 6.12 from Debian's source
# package into FOLDER (a temporary one unless given; what is there already is not built again), and loads every object with
# the simulator and with libbpf. Prints which load on both, which only one of them loads, and the reasons by how often they
# occur; then compares instruction by instruction what the simulator's loader and libbpf read. Fails if they read
# something different. Nothing of this is part of the repository.
set -eu
cd "$(dirname "$0")/.."
repository=$PWD
folder="${1:-}"
[ $# -gt 0 ] && shift

step() { printf '\n== %s\n' "$*"; }

step "packages"
packages="clang-19 llvm-19 bpftool python3 linux-source-6.12 libxdp1 xdp-tests golang-github-cilium-ebpf-dev"
missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
if [ -n "$missing" ]; then
    echo "installing:$missing"
    apt-get update -q
    # shellcheck disable=SC2086 # the list is words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
fi

if [ -z "$folder" ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
fi
mkdir -p "$folder/selftests" "$folder/include"

step "selftests of the kernel"
source=$folder/linux-source-6.12
if [ ! -d "$source" ]; then
    tar -C "$folder" -xf /usr/src/linux-source-6.12.tar.xz linux-source-6.12/tools linux-source-6.12/include/uapi \
        linux-source-6.12/scripts/bpf_doc.py
fi
# What the selftests' own Makefile makes: the running kernel's types, and declarations of helpers.
[ -s "$folder/include/vmlinux.h" ] ||
    PATH=$PATH:/usr/sbin bpftool btf dump file /sys/kernel/btf/vmlinux format c >"$folder/include/vmlinux.h"
mkdir -p "$folder/include/bpf"
cp "$source"/tools/lib/bpf/*.h "$folder/include/bpf/"
python3 "$source/scripts/bpf_doc.py" --header --file "$source/include/uapi/linux/bpf.h" \
    >"$folder/include/bpf/bpf_helper_defs.h"
built=0 failed=0
cd "$source/tools/testing/selftests/bpf"
machine=$(uname -m)
for program in progs/*.c; do
    name=$(basename "$program" .c)
    object=$folder/selftests/$name.bpf.o
    [ -s "$object" ] && continue
    if nice clang-19 --target=bpfel -g -O2 -mcpu=v3 -std=gnu11 -fno-strict-aliasing -w -D__TARGET_ARCH_x86 \
        -I"$folder/include" -I. -I"$source/tools/include/uapi" \
        -I"/usr/include/$machine-linux-gnu" -c "$program" -o "$object" 2>"$folder/selftests/$name.log"; then
        built=$((built + 1))
    else
        failed=$((failed + 1))
        rm -f "$object"
    fi
done
cd "$repository"
echo "built $built; $failed do not compile by themselves, with these types (see the .log files)"

step "which load"
cargo build --release --locked -p bpftwin-kernel-tests
find "$folder/selftests" /usr/lib/*/bpf /usr/libexec/xdp-tools /usr/share/gocode/src/github.com/cilium/ebpf "$@" \
    \( -name '*.o' -o -name '*-el.elf' \) -print | sort -u >"$folder/list"
# shellcheck disable=SC2046 # file names without blanks
target/release/bpftwin-kernel --objects $(cat "$folder/list")

step "what is read"
rm -rf "$folder/all"
mkdir "$folder/all"
while read -r object; do
    ln -s "$object" "$folder/all/$(basename "$object")"
done <"$folder/list"
BPFTWIN_OBJECTS=$folder/all cargo test --locked -p bpftwin-kernel-tests --test views -- --nocapture
