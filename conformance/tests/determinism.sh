#!/bin/sh
# Same input, same bytes: the bundled scenarios twice in release and once in debug; the NDJSON report and the pcapng
# capture must be identical. Both builds are made here, so that neither is stale.
set -eu
cd "$(dirname "$0")/../.."
cargo build --quiet --locked -p bpftwin-conformance
cargo build --quiet --locked --release -p bpftwin-conformance
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

observe() { # build, name
    "target/$1/bpftwin" run --format json --pcapng "$out/$2.pcapng" >"$out/$2.ndjson"
    [ -s "$out/$2.ndjson" ] && [ -s "$out/$2.pcapng" ] || { echo "determinism: $2 wrote nothing" >&2; exit 1; }
}
observe release first
observe release second
observe debug debug
for other in second debug; do
    for kind in ndjson pcapng; do
        cmp "$out/first.$kind" "$out/$other.$kind"
    done
done
echo "determinism: $(wc -l <"$out/first.ndjson") report lines and $(wc -c <"$out/first.pcapng") capture bytes, three times the same"
