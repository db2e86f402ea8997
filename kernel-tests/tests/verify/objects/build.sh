#!/bin/sh
# Compiles the objects that the tests of `bpftwin verify` load: build.sh [--check], as datapath-bpf/compile.sh does it.
here="$(dirname "$0")"
exec sh "$here/../../../../datapath-bpf/compile.sh" "$here" "$@"
