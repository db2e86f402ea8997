#!/bin/bash
# Makes the captures under captures/ by running real programs between network namespaces, and recording there.
#
# Needs: root, ip, ethtool, tcpdump, ping, curl, python3. Touches nothing outside the namespaces it makes, and those are
# gone when it ends. A new run gives new bytes (sequence numbers, identifications, times): update INDEX.toml with
# `index.py` and review the difference.
#
# client (fixed MACs, offloads off)   router                      server
#   c0 192.0.2.10/24 2001:db8:1::10 -- r0 .1/::1   r1 .1/::1 -- s0 198.51.100.20/24 2001:db8:2::20
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/captures}
work=$(mktemp -d)
id=$$
c=bt$id-c r=bt$id-r s=bt$id-s
pids=()

cleanup() {
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for ns in "$c" "$r" "$s"; do ip netns del "$ns" 2>/dev/null || true; done
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

in_ns() { ip netns exec "$@"; }
on() { in_ns "$c" "$@"; }

# A link with checksums in the packets and one packet per frame, as a cable would carry them.
link() { # ns device mac peer-ns peer-device peer-mac
    ip -n "$1" link add "$2" address "$3" type veth peer name "$5" address "$6" netns "$4"
    for end in "$1 $2" "$4 $5"; do
        read -r ns dev <<<"$end"
        in_ns "$ns" ethtool -K "$dev" tx off rx off gso off gro off tso off >/dev/null
        in_ns "$ns" sysctl -qw "net.ipv6.conf.$dev.accept_dad=0"
        ip -n "$ns" link set "$dev" up
    done
}

for ns in "$c" "$r" "$s"; do
    ip netns add "$ns"
    ip -n "$ns" link set lo up
    in_ns "$ns" sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.conf.default.router_solicitations=0
done
link "$c" c0 02:00:00:00:00:0a "$r" r0 02:00:00:00:00:01
link "$s" s0 02:00:00:00:00:14 "$r" r1 02:00:00:00:00:02
in_ns "$r" sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip -n "$c" addr add 192.0.2.10/24 dev c0
ip -n "$c" addr add 2001:db8:1::10/64 dev c0 nodad
ip -n "$r" addr add 192.0.2.1/24 dev r0
ip -n "$r" addr add 2001:db8:1::1/64 dev r0 nodad
ip -n "$r" addr add 198.51.100.1/24 dev r1
ip -n "$r" addr add 2001:db8:2::1/64 dev r1 nodad
ip -n "$s" addr add 198.51.100.20/24 dev s0
ip -n "$s" addr add 2001:db8:2::20/64 dev s0 nodad
ip -n "$c" route add default via 192.0.2.1
ip -n "$c" -6 route add default via 2001:db8:1::1
ip -n "$s" route add default via 198.51.100.1
ip -n "$s" -6 route add default via 2001:db8:2::1

# Records what crosses the client's link while a command runs: record NAME [FILTER] -- COMMAND...
device=c0
record() {
    local name=$1 filter=()
    shift
    while [ "$1" != -- ]; do filter+=("$1"); shift; done
    shift
    : >"$work/log"
    ip netns exec "$c" tcpdump -i "$device" --immediate-mode -U -s 0 --time-stamp-precision=nano -w "$work/$name" "${filter[@]}" 2>"$work/log" &
    local dump=$!
    until grep -q 'listening on' "$work/log"; do sleep 0.05; done
    "$@" >/dev/null || { echo "$name: $* failed" >&2; exit 1; }
    sleep 0.3
    kill $dump
    wait $dump || true
    mkdir -p "$out"
    cp "$work/$name" "$out/$name"
    printf '%-28s %s packets\n' "$name" "$(tcpdump -nr "$out/$name" 2>/dev/null | wc -l)"
}
fails() { ! "$@"; }
forget() { ip -n "$c" neigh flush all; ip -n "$r" neigh flush all; }

# Servers.
printf 'hello from the other side\n' >"$work/index.html"
head -c 20000 /dev/zero | tr '\0' 'b' >"$work/page.txt"
mkdir "$work/www"; mv "$work/index.html" "$work/page.txt" "$work/www"
ip netns exec "$s" python3 -m http.server --bind :: --directory "$work/www" 80 >/dev/null 2>&1 & pids+=($!)
ip netns exec "$s" python3 "$here/programs.py" dns-server & pids+=($!)
ip netns exec "$s" python3 "$here/programs.py" sink 5001 & pids+=($!)
until on curl -so /dev/null http://198.51.100.20/; do sleep 0.1; done
sleep 0.5
p() { on python3 "$here/programs.py" "$@"; }

forget; record arp.pcap arp -- on ping -qc 1 -W 1 192.0.2.1
record ping.pcap icmp -- on ping -qc 20 -i 0.01 -p 62706674 198.51.100.20
record ping-sizes.pcap icmp -- bash -c "for n in 0 1 8 17 64 255 256 511 1000 1471 1472; do
    ip netns exec $c ping -qc 1 -s \$n 198.51.100.20 >/dev/null; done"
record http.pcap tcp port 80 -- on curl -so /dev/null http://198.51.100.20/ http://198.51.100.20/page.txt
record http-ipv6.pcap tcp port 80 -- on curl -so /dev/null 'http://[2001:db8:2::20]/' 'http://[2001:db8:2::20]/page.txt'
record dns.pcap udp port 53 -- p dns-client 198.51.100.20
record dns-ipv6.pcap udp port 53 -- p dns-client 2001:db8:2::20
record bulk.pcap tcp port 5001 -- p send 198.51.100.20 5001 2600 64
record bulk-ipv6.pcap tcp port 5001 -- p send 2001:db8:2::20 5001 400 64
record flows.pcap tcp port 5001 -- p flows 198.51.100.20 5001 60
record udp-lengths.pcap udp port 9 or icmp -- p udp-lengths 198.51.100.20 9
forget; record ping-ipv6.pcap icmp6 -- on ping -qc 20 -i 0.01 2001:db8:2::20
forget; record ndp.pcap 'icmp6 and ip6[40] > 132' -- on ping -qc 1 2001:db8:1::1
record fragments.pcap 'ip' -- on ping -qc 4 -i 0.01 -s 4000 198.51.100.20
record fragments-ipv6.pcap 'ip6' -- on ping -qc 4 -i 0.01 -s 4000 2001:db8:2::20
record udp-fragments.pcap 'ip' -- p send-udp 198.51.100.20 9 5000 3
record ip-options.pcap icmp -- bash -c "ip netns exec $c ping -qc 2 -i 0.01 -R 198.51.100.20 >/dev/null;
    ip netns exec $c ping -qc 2 -i 0.01 -T tsonly 198.51.100.20 >/dev/null"
record ipv6-options.pcap 'ip6 proto 0 or ip6 proto 60' -- p ipv6-options 2001:db8:2::20 9
record unreachable.pcap 'icmp or udp' -- bash -c "
    ip netns exec $c python3 '$here/programs.py' send-udp 198.51.100.20 33434 32 3
    ip netns exec $c ping -qc 2 -i 0.01 -W 1 203.0.113.9 >/dev/null; true"
record time-exceeded.pcap 'icmp' -- fails on ping -qc 3 -i 0.01 -W 1 -t 1 198.51.100.20
record time-exceeded-ipv6.pcap 'icmp6 and (ip6[40] == 3 or ip6[40] == 128)' -- fails on ping -qc 3 -i 0.01 -W 1 -t 1 2001:db8:2::20
ip -n "$r" link set r1 mtu 1400
record too-big.pcap 'icmp or tcp port 80' -- bash -c "! ip netns exec $c ping -qc 1 -W 1 -M do -s 1450 198.51.100.20 >/dev/null"
record too-big-ipv6.pcap 'icmp6 and (ip6[40] == 2 or ip6[40] == 128)' -- bash -c "! ip netns exec $c ping -qc 1 -W 1 -M do -s 1400 2001:db8:2::20 >/dev/null"
ip -n "$r" link set r1 mtu 1500
record reset.pcap tcp -- bash -c "
    ! ip netns exec $c curl -so /dev/null http://198.51.100.20:81/
    ip netns exec $c python3 '$here/programs.py' abort 198.51.100.20 5001"
record reset-ipv6.pcap tcp -- bash -c "! ip netns exec $c curl -so /dev/null 'http://[2001:db8:2::20]:81/'"
record multicast.pcap 'udp port 5353' -- p send-udp 224.0.0.251 5353 64 3
record broadcast.pcap 'udp port 5353' -- p send-udp 255.255.255.255 5353 64 3
record sctp-udplite.pcap 'ip proto 132 or ip proto 136 or icmp' -- p odd-protocols 198.51.100.20

# VXLAN between client and router; the capture is of the underlay.
for side in "$c 02:00:00:00:01:0a 203.0.113.10 192.0.2.1 192.0.2.10" "$r 02:00:00:00:01:01 203.0.113.1 192.0.2.10 192.0.2.1"; do
    read -r ns mac addr remote local_ <<<"$side"
    ip -n "$ns" link add vx0 address "$mac" mtu 1450 type vxlan id 42 dstport 4789 remote "$remote" local "$local_"
    in_ns "$ns" ethtool -K vx0 tx off rx off gso off gro off >/dev/null
    in_ns "$ns" sysctl -qw net.ipv6.conf.vx0.disable_ipv6=1
    ip -n "$ns" addr add "$addr/24" dev vx0
    ip -n "$ns" link set vx0 up
done
ip netns exec "$r" python3 "$here/programs.py" sink 5002 & pids+=($!)
sleep 0.5
record vxlan.pcap udp port 4789 -- bash -c "ip netns exec $c ping -qc 5 -i 0.01 203.0.113.1
    ip netns exec $c python3 '$here/programs.py' send 203.0.113.1 5002 20 200"

# VLAN tags: two TAP devices in user space, whose frames a program tags towards c0 and untags coming from it.
ip netns exec "$c" python3 "$here/programs.py" tagger c0 t0 02:00:00:00:02:0a 100 & pids+=($!)
ip netns exec "$r" python3 "$here/programs.py" tagger r0 t0 02:00:00:00:02:01 100 & pids+=($!)
for side in "$c 10" "$r 1"; do
    read -r ns host <<<"$side"
    until ip -n "$ns" link show t0 >/dev/null 2>&1; do sleep 0.05; done
    in_ns "$ns" sysctl -qw net.ipv6.conf.t0.accept_dad=0
    ip -n "$ns" addr add "10.0.100.$host/24" dev t0
    ip -n "$ns" addr add "2001:db8:100::$host/64" dev t0 nodad
    ip -n "$ns" link set t0 up
done
sleep 0.3
record vlan.pcap vlan -- bash -c "ip netns exec $c ping -qc 5 -i 0.01 10.0.100.1
    ip netns exec $c ping -qc 5 -i 0.01 2001:db8:100::1
    ip netns exec $c python3 '$here/programs.py' send 10.0.100.1 5002 20 200"
