"""The small programs that make.sh runs where no standard tool does it. Real sockets; nothing here writes a capture."""

import contextlib
import fcntl
import os
import select
import socket
import struct
import sys
import time


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(address, port):
    connection = socket.socket(family(address), socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect((address, port))
    return connection


def sink(port):
    """Reads all that anyone sends, answers `done`, and closes."""
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=64)
    while True:
        connection, _ = listener.accept()
        try:
            while connection.recv(65536):
                pass
            connection.sendall(b"done\n")
        except OSError:
            pass
        connection.close()


def send(address, port, count, size):
    """A bulk transfer in many small segments."""
    connection = tcp(address, port)
    for number in range(count):
        connection.sendall(struct.pack("!I", number) + b"." * (size - 4))
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(100) == b"done\n"


def flows(address, port, count):
    """Short connections, one after another, each with its own source port."""
    for number in range(count):
        send(address, port, number % 3 + 1, 16 + number)


def abort(address, port):
    """Sends, then resets."""
    connection = tcp(address, port)
    connection.sendall(b"half a sen")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def send_udp(address, port, size, count):
    sender = socket.socket(family(address), socket.SOCK_DGRAM)
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    for _ in range(count):
        sender.sendto(b"u" * size, (address, port))
        time.sleep(0.02)


def udp_lengths(address, port):
    """Every payload length from 0 to 99, so that every frame length of a small packet occurs."""
    sender = socket.socket(family(address), socket.SOCK_DGRAM)
    for size in range(100):
        sender.sendto(bytes(range(size)), (address, port))
        time.sleep(0.002)


def ipv6_options(address, port):
    """UDP behind a hop-by-hop header, a destination options header, and both."""
    padding = bytes([0, 0, 1, 4, 0, 0, 0, 0])
    for options in [(54,), (59,), (54, 59)]:
        sender = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        for option in options:
            sender.setsockopt(socket.IPPROTO_IPV6, option, padding)
        sender.sendto(b"behind options", (address, port))
    time.sleep(0.1)


def odd_protocols(address):
    """SCTP INIT as a raw datagram and UDP-Lite, which a server without them answers with ICMP."""
    init = struct.pack("!HHIIBBHIIHHI", 4000, 80, 0, 0, 1, 0, 20, 0x01020304, 65535, 1, 1, 0x0A0B0C0D)
    crc = 0xFFFFFFFF
    for byte in init:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 & -(crc & 1))
    init = init[:8] + struct.pack("<I", crc ^ 0xFFFFFFFF) + init[12:]
    socket.socket(socket.AF_INET, socket.SOCK_RAW, 132).sendto(init, (address, 0))
    lite = socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136)
    lite.sendto(b"partly covered", (address, 9))
    time.sleep(0.1)


def dns_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


ZONE = {
    (1, "www.example.org"): [bytes([198, 51, 100, 20])],
    (28, "www.example.org"): [socket.inet_pton(socket.AF_INET6, "2001:db8:2::20")],
    (16, "example.org"): [bytes([len(text)]) + text for text in (b"v=spf1 -all", b"k" * 200)],
    (15, "example.org"): [struct.pack("!H", 10) + dns_name("mail.example.org")],
    (2, "example.org"): [dns_name(f"ns{n}.example.org") for n in range(1, 5)],
}


def dns_server():
    """Authoritative for a five-line zone, RFC 1035."""
    server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    server.bind(("::", 53))
    while True:
        query, client = server.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1 : at + 1 + query[at]].decode())
            at += 1 + query[at]
        (kind,) = struct.unpack_from("!H", query, at + 1)
        answers = ZONE.get((kind, ".".join(labels)), [])
        flags = 0x8580 if answers else 0x8583
        reply = query[:2] + struct.pack("!HHHHH", flags, 1, len(answers), 0, 0) + query[12 : at + 5]
        for data in answers:
            reply += struct.pack("!HHHIH", 0xC00C, kind, 1, 300, len(data)) + data
        server.sendto(reply, client)


def dns_client(address):
    """Asks for everything in the zone, and for two names that are not there."""
    for number, (kind, name) in enumerate([*ZONE, (1, "nowhere.example.org"), (28, "nowhere.example.org")]):
        resolver = socket.socket(family(address), socket.SOCK_DGRAM)
        resolver.settimeout(2)
        query = struct.pack("!HHHHHH", 0x1000 + number, 0x0100, 1, 0, 0, 0)
        resolver.sendto(query + dns_name(name) + struct.pack("!HH", kind, 1), (address, 53))
        assert resolver.recv(512)[:2] == query[:2]


def tagger(device, tap_name, mac, vlan):
    """A VLAN device in user space: frames of a TAP leave `device` with a tag, tagged frames come back without."""
    tun_set_iff, iff_tap, iff_no_pi, sioc_set_hw = 0x400454CA, 0x0002, 0x1000, 0x8924
    tap = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(tap, tun_set_iff, struct.pack("16sH", tap_name.encode(), iff_tap | iff_no_pi))
    hardware = struct.pack("16sH6s8x", tap_name.encode(), 1, bytes.fromhex(mac.replace(":", "")))
    fcntl.ioctl(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), sioc_set_hw, hardware)
    # The kernel takes the tag off a received frame and hands it over as auxiliary data; PACKET_AUXDATA asks for it.
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    wire.bind((device, 3))
    wire.setsockopt(263, 8, 1)
    tag = struct.pack("!HH", 0x8100, vlan)
    while True:
        for ready in select.select([tap, wire], [], [])[0]:
            if ready is tap:
                frame = os.read(tap, 65536)
                wire.send(frame[:12] + tag + frame[12:])
                continue
            frame, auxiliary, _, address = wire.recvmsg(65536, 64)
            if address[2] == socket.PACKET_OUTGOING:
                continue
            for level, kind, data in auxiliary:
                status, tci = struct.unpack_from("IIIHHH", data)[0], struct.unpack_from("HH", data, 16)[0]
                if (level, kind) == (263, 8) and status & 0x10 and tci & 0xFFF == vlan:
                    with contextlib.suppress(OSError):  # the TAP is not up yet
                        os.write(tap, frame)


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    globals()[name.replace("-", "_")](*(int(a) if a.isdigit() else a for a in arguments))
