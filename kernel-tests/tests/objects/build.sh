#!/bin/sh
# Compiles the objects that these tests load: build.sh [--check], as datapath-bpf/compile.sh does it.
here="$(dirname "$0")"
exec sh "$here/../../../datapath-bpf/compile.sh" "$here" "$@"
