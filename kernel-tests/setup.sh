#!/bin/sh
# Installs what the kernel plane, the BPF C build and the captures need, from the system's own package sources.
# Does nothing, and needs no privilege, when everything is there.
set -eu

# What for: cc links Rust; clang-19 and llvm-19 compile and strip the BPF C; libelf, zlib and make build libbpf;
# libbpf-dev has the BPF C headers; iproute2 and procps set up and inspect namespaces in tests;
# qemu-system-x86 runs other kernels, xz-utils unpacks their modules, util-linux takes privilege away.
packages="gcc libc6-dev make pkg-config clang-19 llvm-19 libelf-dev zlib1g-dev libbpf-dev iproute2 procps qemu-system-x86 xz-utils util-linux"

missing=""
for package in $packages; do
    status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null || true)
    [ "$status" = "install ok installed" ] || missing="$missing $package"
done
if [ -z "$missing" ]; then
    echo "setup: everything is installed"
    exit 0
fi

if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "setup: missing:$missing" >&2
    echo "setup: neither root nor sudo here; have somebody run: apt-get install$missing" >&2
    exit 69
fi
echo "setup: installing:$missing"
$as_root apt-get update -q
# shellcheck disable=SC2086 # the lists are words on purpose
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -q -y --no-install-recommends $missing
