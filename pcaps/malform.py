"""Makes the malformed and odd captures under captures/: deterministic, no privilege, the same bytes on every run.

Frames shorter than an Ethernet header are in tiny.pcap only; every other file can be given to BPF_PROG_TEST_RUN
frame by frame, which refuses IPv4 and IPv6 EtherTypes with less than a network header (`cut-*`, at the short end).
"""

import os
import struct
import sys

ETH = bytes.fromhex("020000000001 02000000000a".replace(" ", ""))
SRC4, DST4 = bytes([192, 0, 2, 10]), bytes([198, 51, 100, 20])
SRC6 = bytes.fromhex("20010db8000100000000000000000010")
DST6 = bytes.fromhex("20010db8000200000000000000000020")
TCP, UDP, ICMP, ICMP6, HOP, ROUTING, FRAGMENT, ESP, AH, NONE, DEST = 6, 17, 1, 58, 0, 43, 44, 50, 51, 59, 60


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return total ^ 0xFFFF


def ether(kind, payload):
    return ETH + struct.pack("!H", kind) + payload


def ip4(proto, payload, ihl=5, version=4, length=None, options=b"", fragment=0x4000, ttl=64, check=None, src=SRC4, dst=DST4):
    length = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack("!BBHHHBBH", version << 4 | ihl, 0, length, 1, fragment, ttl, proto, 0) + src + dst + options
    check = checksum(head) if check is None else check
    return head[:10] + struct.pack("!H", check) + head[12:] + payload


def ip6(following, payload, length=None, hops=64, version=6, src=SRC6, dst=DST6):
    length = len(payload) if length is None else length
    return struct.pack("!IHBB", version << 28, length, following, hops) + src + dst + payload


def pseudo(proto, length, six):
    return SRC6 + DST6 + struct.pack("!II", length, proto) if six else SRC4 + DST4 + struct.pack("!HH", proto, length)


def udp(data, length=None, check=None, six=False, sport=4000, dport=53):
    real = 8 + len(data)
    head = struct.pack("!HHHH", sport, dport, real if length is None else length, 0)
    value = (checksum(pseudo(UDP, real, six) + head + data) or 0xFFFF) if check is None else check
    return head[:6] + struct.pack("!H", value) + data


def tcp(data=b"", flags=0x02, offset=None, options=b"", check=None, six=False, urgent=0):
    offset = 5 + len(options) // 4 if offset is None else offset
    head = struct.pack("!HHIIBBHHH", 4000, 80, 1000, 0, offset << 4, flags, 8192, 0, urgent) + options
    value = checksum(pseudo(TCP, len(head) + len(data), six) + head + data) if check is None else check
    return head[:16] + struct.pack("!H", value) + head[18:] + data


def icmp(kind, code, rest, data=b"", check=None):
    head = struct.pack("!BBHI", kind, code, 0, rest)
    return head[:2] + struct.pack("!H", checksum(head + data) if check is None else check) + head[4:] + data


def icmp6(kind, code, rest, data=b""):
    body = struct.pack("!BBHI", kind, code, 0, rest) + data
    return body[:2] + struct.pack("!H", checksum(pseudo(ICMP6, len(body), True) + body)) + body[4:]


def extension(following, length8=0, body=b"\x01\x04\0\0\0\0"):
    return struct.pack("!BB", following, length8) + body


def vlan(tci, kind, payload):
    return struct.pack("!HH", tci, kind) + payload


def every_length(frame):
    """The frame, cut after every byte that leaves an Ethernet header; Ethernet padding does not save it."""
    return [frame[:length] for length in range(14, len(frame) + 1)]


DATA = b"payload!"
UDP4, TCP4 = ip4(UDP, udp(DATA)), ip4(TCP, tcp(DATA, 0x18))
UDP6, TCP6 = ip6(UDP, udp(DATA, six=True)), ip6(TCP, tcp(DATA, 0x18, six=True))
INNER = ether(0x0800, UDP4)
TIMESTAMPS = bytes.fromhex("0101080a0000000100000002")


def chain(*headers, last=UDP, payload=udp(DATA, six=True)):
    """Extension headers (type, length, body) in order, then the payload."""
    kinds = [kind for kind, _, _ in headers] + [last]
    bodies = [extension(kinds[n + 1], length, body) for n, (_, length, body) in enumerate(headers)]
    return ip6(kinds[0], b"".join(bodies) + payload)


PAD = (0, b"\x01\x04\0\0\0\0")
RT0 = (2, b"\0\x01" + b"\0" * 4 + DST6)
FRAG = lambda word: (0, struct.pack("!HI", word, 0x1234))

FILES = {
    "cut-tcp": every_length(ether(0x0800, ip4(TCP, tcp(DATA, 0x18, options=TIMESTAMPS)))),
    "cut-udp": every_length(ether(0x0800, UDP4)),
    "cut-icmp": every_length(ether(0x0800, ip4(ICMP, icmp(3, 3, 0, UDP4)))),
    "cut-tcp-ipv6": every_length(ether(0x86DD, TCP6)),
    "cut-chain-ipv6": every_length(ether(0x86DD, chain((HOP, *PAD), (ROUTING, *RT0), (FRAGMENT, *FRAG(0)), (DEST, *PAD)))),
    "cut-arp": every_length(ether(0x0806, struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ETH[6:] + SRC4 + b"\0" * 6 + DST4)),
    "cut-ndp": every_length(ether(0x86DD, ip6(ICMP6, icmp6(135, 0, 0, DST6 + b"\x01\x01" + ETH[6:]), hops=255))),
    "cut-vxlan": every_length(ether(0x0800, ip4(UDP, udp(struct.pack("!II", 0x08000000, 42 << 8) + INNER, dport=4789)))),
    "cut-qinq": every_length(ether(0x88A8, vlan(0x0064, 0x8100, vlan(0x2005, 0x0800, UDP4)))),
    "ipv4-headers": [
        *(ether(0x0800, ip4(UDP, udp(DATA), ihl=ihl)) for ihl in range(16)),
        *(ether(0x0800, ip4(UDP, udp(DATA), version=version)) for version in range(16)),
        *(ether(0x0800, ip4(UDP, udp(DATA), ihl=5 + n, options=b"\x01" * (4 * n))) for n in range(1, 11)),
        *(ether(0x0800, ip4(UDP, udp(DATA), ihl=7, options=bytes.fromhex(hexa)))
          for hexa in ("8303040000000000", "4400000000000000", "07ff040000000000", "0000000000000000", "0101010194040000")),
        *(ether(0x0800, ip4(UDP, udp(DATA), length=length)) for length in (0, 1, 19, 20, 21, 27, 28, 35, 37, 60, 1500, 65535)),
        *(ether(0x0800, ip4(UDP, udp(DATA), ttl=ttl)) for ttl in (0, 1, 2, 255)),
        *(ether(0x0800, ip4(proto, DATA * 3)) for proto in range(0, 256, 5)),
    ],
    "ipv4-fragments": [
        *(ether(0x0800, ip4(UDP, udp(DATA), fragment=word))
          for word in (0x0000, 0x2000, 0x2001, 0x0001, 0x0002, 0x1FFF, 0x3FFF, 0x5FFF, 0x6000, 0x8000, 0xC000, 0xFFFF)),
        *(ether(0x0800, ip4(UDP, udp(DATA)[:length], fragment=0x2000)) for length in range(0, 9)),
    ],
    "ipv4-addresses": [
        ether(0x0800, ip4(UDP, udp(DATA), src=bytes(src), dst=bytes(dst)))
        for src in ((0, 0, 0, 0), (127, 0, 0, 1), (192, 0, 2, 10), (224, 0, 0, 1), (240, 0, 0, 1), (255, 255, 255, 255))
        for dst in ((0, 0, 0, 0), (127, 0, 0, 1), (192, 0, 2, 10), (198, 51, 100, 20), (239, 1, 2, 3), (255, 255, 255, 255))
    ],
    "checksums": [
        ether(0x0800, ip4(UDP, udp(DATA), check=0)),
        ether(0x0800, ip4(UDP, udp(DATA), check=0xFFFF)),
        ether(0x0800, ip4(UDP, udp(DATA, check=0))),
        ether(0x0800, ip4(UDP, udp(DATA, check=0xFFFF))),
        ether(0x0800, ip4(UDP, udp(DATA, check=0x1234))),
        ether(0x0800, ip4(TCP, tcp(DATA, check=0))),
        ether(0x0800, ip4(TCP, tcp(DATA, check=0xFFFF))),
        ether(0x0800, ip4(ICMP, icmp(8, 0, 1, DATA, check=0))),
        ether(0x86DD, ip6(UDP, udp(DATA, check=0, six=True))),
        ether(0x86DD, ip6(TCP, tcp(DATA, check=0, six=True))),
        # The two data bytes make the sum 0xffff: UDP must send ffff, not 0.
        ether(0x0800, ip4(UDP, udp(struct.pack("!H", checksum(pseudo(UDP, 10, False) + struct.pack("!HHHH", 4000, 53, 10, 0)))))),
    ],
    "tcp-headers": [
        *(ether(0x0800, ip4(TCP, tcp(DATA, offset=offset))) for offset in range(16)),
        *(ether(0x0800, ip4(TCP, tcp(b"", flags))) for flags in range(256)),
        *(ether(0x0800, ip4(TCP, tcp(DATA, options=bytes.fromhex(hexa))))
          for hexa in ("020405b4", "02000000", "02010000", "02ff05b4", "08080000", "00000000", "01010100", "fd04abcd", "0303ff00")),
        ether(0x0800, ip4(TCP, tcp(DATA, 0x38, urgent=0xFFFF))),
    ],
    "udp-lengths-wrong": [
        *(ether(0x0800, ip4(UDP, udp(DATA, length=length))) for length in (0, 1, 7, 8, 9, 15, 17, 100, 65535)),
        *(ether(0x86DD, ip6(UDP, udp(DATA, length=length, six=True))) for length in (0, 1, 7, 8, 9, 15, 17, 100, 65535)),
    ],
    "icmp-types": [
        *(ether(0x0800, ip4(ICMP, icmp(kind, code, 0, UDP4))) for kind in range(0, 20) for code in (0, 1, 13, 255)),
        *(ether(0x86DD, ip6(ICMP6, icmp6(kind, code, 0, UDP6))) for kind in (0, 1, 2, 3, 4, 100, 127, 128, 129, 130, 133, 134, 135, 136, 137, 255) for code in (0, 1)),
        *(ether(0x0800, ip4(ICMP, icmp(3, 4, 1400, UDP4[:length]))) for length in range(0, 29, 4)),
    ],
    "ipv6-headers": [
        *(ether(0x86DD, ip6(UDP, udp(DATA, six=True), version=version)) for version in range(16)),
        *(ether(0x86DD, ip6(UDP, udp(DATA, six=True), length=length)) for length in (0, 1, 7, 8, 15, 17, 1500, 65535)),
        *(ether(0x86DD, ip6(UDP, udp(DATA, six=True), hops=hops)) for hops in (0, 1, 2, 255)),
        *(ether(0x86DD, ip6(following, DATA * 3)) for following in range(0, 256, 5)),
        *(ether(0x86DD, ip6(UDP, udp(DATA, six=True), src=src, dst=dst))
          for src in (bytes(16), bytes(15) + b"\1", b"\xff\2" + bytes(13) + b"\1")
          for dst in (bytes(16), bytes(15) + b"\1", b"\xff\2" + bytes(13) + b"\1")),
    ],
    "ipv6-chains": [
        ether(0x86DD, packet)
        for packet in [
            *(chain((kind, *PAD)) for kind in (HOP, ROUTING, DEST, 135, 139, 140, 253)),
            chain((HOP, *PAD), (HOP, *PAD)),
            chain((DEST, *PAD), (HOP, *PAD)),
            chain((HOP, *PAD), (DEST, *PAD), (ROUTING, *RT0), (DEST, *PAD)),
            chain(*[(DEST, *PAD)] * 7),
            chain(*[(DEST, *PAD)] * 40),
            chain((DEST, 255, PAD[1])),
            chain((DEST, 2, PAD[1])),
            chain((HOP, 0, b"\xc2\x04\0\x01\0\0"), payload=udp(DATA, six=True)),  # a jumbo claim that is not true
            ip6(HOP, extension(UDP, 0, b"\xc2\x04\0\x01\0\0") + udp(DATA, six=True), length=0),
            chain((HOP, 0, b"\x05\x02\0\0\x01\0")),
            chain((HOP, 0, b"\xff\xff\0\0\0\0")),
            *(chain((FRAGMENT, *FRAG(word))) for word in (0, 1, 2, 6, 8, 9, 0x10, 0xFFF8, 0xFFF9)),
            chain((FRAGMENT, *FRAG(0)), (FRAGMENT, *FRAG(0))),
            chain((FRAGMENT, *FRAG(1)), (DEST, *PAD)),
            chain((AH, 4, b"\0\0" + bytes(20))),
            chain((AH, 255, b"\0\0" + bytes(20))),
            chain((AH, 0, b"\0\0" + bytes(4))),
            ip6(ESP, struct.pack("!II", 0x100, 1) + bytes(32)),
            ip6(NONE, b""),
            ip6(NONE, DATA),
            chain((DEST, *PAD), last=NONE, payload=b""),
            chain((DEST, *PAD), last=TCP, payload=b""),
            chain((DEST, *PAD), last=ICMP, payload=icmp(8, 0, 1)),
            chain((DEST, *PAD), last=4, payload=UDP4),
            chain((DEST, *PAD), last=41, payload=UDP6),
        ]
    ],
    "ethertypes": [
        ether(0x0800, UDP6),
        ether(0x86DD, UDP4 + bytes(20)),
        *(ether(kind, DATA * 6) for kind in (0x0000, 0x002E, 0x05DC, 0x05DD, 0x05FF, 0x0600, 0x0801, 0x0842, 0x8035, 0x8847, 0x8863, 0x8864, 0x8809, 0x88CC, 0x88E5, 0x88F7, 0x9000, 0xFFFF)),
        ether(48, b"\xaa\xaa\x03\0\0\0\x08\0" + UDP4),
        ether(38, b"\x42\x42\x03" + bytes(35)),
        ether(60, b"\xff\xff" + bytes(58)),
        *(mac + ETH[6:] + b"\x08\0" + UDP4
          for mac in (bytes(6), b"\xff" * 6, b"\x01\0\x5e\0\0\1", b"\x33\x33\0\0\0\1", b"\x01\x80\xc2\0\0\0", b"\x02\0\0\0\0\xee")),
        ether(0x0800, UDP4) + bytes(18),
        ether(0x0800, UDP4) + b"trailer after the datagram",
        ether(0x86DD, UDP6) + b"trailer after the datagram",
    ],
    "vlan-tags": [
        *(ether(0x8100, vlan(tci, 0x0800, UDP4)) for tci in (0, 1, 0x0FFF, 0x1000, 0xE064, 0xFFFF)),
        ether(0x88A8, vlan(100, 0x8100, vlan(5, 0x86DD, UDP6))),
        ether(0x8100, vlan(100, 0x8100, vlan(5, 0x0800, UDP4))),
        ether(0x9100, vlan(100, 0x8100, vlan(5, 0x0800, UDP4))),
        ether(0x8100, vlan(1, 0x8100, vlan(2, 0x8100, vlan(3, 0x8100, vlan(4, 0x0800, UDP4))))),
        ether(0x8100, vlan(5, 46, b"\xaa\xaa\x03\0\0\0\x08\0" + UDP4)),
        ether(0x8100, vlan(5, 0x0806, bytes(28))),
        ether(0x8100, b"\0\5\x08"),
        ether(0x8100, vlan(5, 0x0800, b"")),
    ],
    "arp-odd": [
        ether(0x0806, struct.pack("!HHBBH", hardware, proto, hlen, plen, op) + ETH[6:] + SRC4 + b"\0" * 6 + DST4)
        for hardware, proto, hlen, plen, op in [
            (1, 0x0800, 6, 4, 1), (1, 0x0800, 6, 4, 2), (1, 0x0800, 6, 4, 3), (1, 0x0800, 6, 4, 0), (1, 0x0800, 6, 4, 0xFFFF),
            (6, 0x0800, 6, 4, 1), (0, 0x0800, 6, 4, 1), (1, 0x86DD, 6, 4, 1), (1, 0x0800, 255, 4, 1), (1, 0x0800, 6, 255, 1),
            (1, 0x0800, 0, 0, 1),
        ]
    ],
    "tunnels-odd": [
        *(ether(0x0800, ip4(UDP, udp(struct.pack("!II", flags, vni) + INNER, dport=4789)))
          for flags, vni in ((0x08000000, 0), (0, 42 << 8), (0xFFFFFFFF, 0xFFFFFFFF), (0x08000000, 0xFFFFFF00))),
        *(ether(0x0800, ip4(UDP, udp(struct.pack("!BBHI", options, 0, 0x6558, 42 << 8) + bytes(4 * (options & 63)) + INNER, dport=6081)))
          for options in (0, 1, 2, 63, 0x40)),
        ether(0x0800, ip4(UDP, udp(struct.pack("!BBHI", 63, 0, 0x6558, 42 << 8) + INNER, dport=6081))),
        *(ether(0x0800, ip4(47, struct.pack("!HH", flags, kind) + bytes(extra) + payload))
          for flags, kind, extra, payload in (
              (0, 0x0800, 0, UDP4), (0x2000, 0x0800, 4, UDP4), (0xB000, 0x0800, 12, UDP4), (0x2000, 0x6558, 4, INNER),
              (0, 0x86DD, 0, UDP6), (1, 0x880B, 0, DATA), (0xB000, 0x0800, 0, b""))),
        ether(0x0800, ip4(4, UDP4)), ether(0x0800, ip4(41, UDP6)), ether(0x86DD, ip6(4, UDP4)), ether(0x86DD, ip6(41, UDP6)),
        ether(0x0800, ip4(4, ip4(4, ip4(4, UDP4)))),
        ether(0x0800, ip4(4, b"")), ether(0x0800, ip4(41, UDP6[:39])),
        *(ether(0x0800, ip4(UDP, udp(struct.pack("!BBH", first, proto, 0) + payload, dport=6080)))
          for first, proto, payload in ((0, 4, UDP4), (0, 41, UDP6), (0x20, 4, UDP4), (0x1F, 4, UDP4), (0x45, 0, b""))),
        ether(0x0800, ip4(ESP, struct.pack("!II", 0x100, 1) + bytes(32))),
        ether(0x0800, ip4(AH, struct.pack("!BBHII", UDP, 4, 0, 0x100, 1) + bytes(12) + udp(DATA))),
        ether(0x0800, ip4(132, struct.pack("!HHII", 4000, 80, 0, 0))),
    ],
    "sizes": [ether(0x0800, ip4(UDP, udp(bytes(size - 42)))) for size in (60, 64, 128, 256, 512, 1024, 1500, 1514, 1518, 2048, 3520, 3521, 3711, 3712)],
    "jumbo": [ether(0x0800, ip4(UDP, udp(bytes(size - 42)))) for size in (3713, 4096, 9000, 9014)],
    "tiny": [INNER[:length] for length in range(14)],
}


def main(out):
    os.makedirs(out, exist_ok=True)
    for name, frames in FILES.items():
        with open(os.path.join(out, f"{name}.pcap"), "wb") as file:
            file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
            for number, frame in enumerate(frames):
                file.write(struct.pack("<IIII", 1_700_000_000, number * 1000, len(frame), len(frame)) + frame)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "captures"))
