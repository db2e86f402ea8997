#!/bin/sh
# Compiles the objects that tests of the command line give it: build.sh [--check], as datapath-bpf/compile.sh does it.
here="$(dirname "$0")"
exec sh "$here/../../../datapath-bpf/compile.sh" "$here" "$@"
