#!/bin/sh
# Compiles the C unit tests that these tests run: build.sh [--check], as datapath-bpf/compile.sh does it.
here="$(dirname "$0")"
exec sh "$here/../../../datapath-bpf/compile.sh" "$here" -Wno-unused-parameter -Wno-unused-variable -Wno-unused-but-set-variable \
    "$@"
