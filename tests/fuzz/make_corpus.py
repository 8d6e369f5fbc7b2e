#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""make_corpus.py - writes the seeds of the wire fuzzers into corpus/; the check values are put in by the targets"""
import pathlib
import struct

HERE = pathlib.Path(__file__).resolve().parent / "corpus"


def message(kind_of, kind=0, region=0, lane=0, length=0, span=0, offset=0, value=0):
    return struct.pack("<BBHHHIIQQII", kind_of, kind, region, lane, 0, length, span, offset, value, 0, 0)


def hs(kind, body):
    return b"APNMIG\r\n" + struct.pack("<HHI", kind, 16 + len(body), 0) + body


MESSAGES = {
    "extent_data": message(1, kind=1, length=4096, span=4096, offset=8192),
    "extent_zero": message(1, kind=2, span=262144),
    "stream": message(2, length=100, offset=5, value=1),
    "fence": message(3, lane=1, offset=1),
    "regions": message(4, length=19, offset=0, value=1),
    "regions_ok": message(5),
    "prefault": message(6, offset=0, value=2 << 20),
    "grant": message(8, value=4096),
    "wont": message(10, length=4),
    "retired": message(13, lane=3, value=77),
    "postcopy_request": message(15, region=1, span=4096, offset=8192),
    "postcopy_request_read": message(15, region=1, span=4096, offset=8192, value=1),
    "postcopy_listens": message(15),
    "postcopy_page": message(16, kind=1, length=65536, span=65536, offset=65536),
    "applied": message(32, span=3, offset=1 << 33, value=9),
    "ping": message(33, offset=1, value=2),
}
ENTRY = struct.pack("<QIHH", 1 << 20, 4096, 0, 6) + b"pc.ram"
ENTRY2 = struct.pack("<QIHH", 1 << 21, 2 << 20, 1, 4) + b"vga0"
HELLO = hs(1, struct.pack("<HHHHIIIIQQ", 1, 1, 0, 2, 1, 0, 8000, 1, 0, 0) + bytes(16) + bytes(32) + bytes(8))
HELLO_MAC = hs(1, struct.pack("<HHHHIIIIQQ", 1, 1, 0, 2, 1, 0, 8000, 2, 0, 0) + bytes(16) + bytes(32) + bytes(8))
CHALLENGE = hs(2, struct.pack("<HHI", 1, 0, 0) + bytes(32) + bytes(8))
PROOF = hs(3, bytes(32))
WELCOME = hs(4, struct.pack("<QQ", 3, 99) + bytes(32) + bytes(16))
REJECT = hs(5, struct.pack("<II", 16, 0) + b"busy".ljust(160, b"\0"))



def frame(kind, body, credit=0, handled=0, number=0):
    whole = struct.pack("<BBHIQ", kind, 0, number, credit, handled) + body
    return struct.pack("<H", len(whole)) + whole


def record(header, payload=b"", written=0):
    return bytes([written, 0, 0, 0]) + header + payload


LONG = record(message(2, length=12000)) + bytes(12000)
KEY = struct.pack("<QQQIHH", 0, 1 << 20, 1 << 40, 77, 0, 0)



def wire(*frames):
    return b"\1" + b"".join(struct.pack("<H", len(f)) + f for f in frames)


US, THEM, ALL = bytes([2, 0, 0, 0, 0, 1]), bytes([2, 0, 0, 0, 0, 2]), b"\xff" * 6
US4, THEM4 = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])
NET6 = bytes.fromhex("20010db8") + bytes(11)
US6, THEM6, NODE6 = NET6 + b"\1", NET6 + b"\2", bytes.fromhex("ff0200000000000000000001ff000001")


def arp(operation, sender, target, to=ALL):
    return to + THEM + struct.pack(">HHHBBH", 0x806, 1, 0x800, 6, 4, operation) + THEM + sender + bytes(6) + target + bytes(18)


def ip4(protocol, body, flags=0x4000):
    return US + THEM + struct.pack(">HBBHHHBBH", 0x800, 0x45, 0, 20 + len(body), 0, flags, 64, protocol, 0) + THEM4 + US4 + body


def ip6(protocol, body, dest=US6, hops=255):
    return US + THEM + struct.pack(">HIHBB", 0x86dd, 6 << 28, len(body), protocol, hops) + THEM6 + dest + body


UDP = struct.pack(">HHHH", 1000, 4444, 13, 0) + b"hello"
QUOTE4 = struct.pack(">BBHHHBBH", 0x45, 0, 33, 0, 0x4000, 64, 17, 0) + US4 + THEM4 + UDP

def datagram(records, behind=b"", number=0, age=0, flags=1):
    whole = struct.pack("<BBHIQQII", 6, flags, len(records), 0, 0, number, age, 7) + records + behind
    return struct.pack("<H", len(whole)) + whole


def part(header, payload=b"", index=0, parts=1, piece=None, number=0, staged=0, kind=2):
    return struct.pack("<BBHHHIII", kind, 0, index, parts, 0, number, len(payload) if piece is None else piece, staged) + header + payload


def ack(base=0, known=0, top=0, delivered=0, released=0, gaps=()):
    return struct.pack("<BBHIIIQIIQQ", 1, len(gaps), 0, 1, 5, 0, base, known, top, delivered, released) + b"".join(struct.pack("<II", *g) for g in gaps)


PAGE = bytes(range(256)) * 16
EXTENT2 = message(1, kind=1, length=8192, span=8192, offset=4096)

SEEDS = {
    "datagram": {
        "inlined": b"\1" + datagram(part(message(33)) ) + datagram(part(message(2, length=5), b"hello", number=1), number=1),
        "bulk": b"\1" + datagram(part(EXTENT2, index=0, parts=2, piece=4096, kind=3), PAGE)
        + datagram(part(EXTENT2, index=1, parts=2, piece=4096, kind=3), PAGE, number=1),
        "heads": b"\3" + datagram(part(EXTENT2, index=0, parts=2, piece=4096, kind=3), PAGE)
        + datagram(part(message(2, length=4096), kind=3, piece=4096, number=1), PAGE, number=1),
        "older_last": b"\1" + datagram(part(message(1, kind=1, length=4096, span=4096), kind=3, piece=4096, number=2), PAGE, number=2)
        + datagram(part(message(1, kind=2, span=16384), number=1), number=1)
        + datagram(part(message(1, kind=1, length=4096, span=4096), kind=3, piece=4096), PAGE) + datagram(part(message(33), number=3), number=3),
        "ack": b"\1" + datagram(ack(known=8, top=9, gaps=((1, 2), (5, 1))), flags=0) + datagram(ack(base=9, delivered=1, released=60000), flags=2),
        "lies": b"\1" + datagram(ack(known=1 << 20, top=1 << 20, delivered=1 << 40), flags=0),
        "outside": b"\1" + datagram(part(message(1, kind=1, length=4096, span=4096, offset=1 << 20), kind=3, piece=4096), PAGE),
        "far": b"\1" + datagram(part(message(33)), number=1 << 60, age=1) + datagram(part(message(33), number=1 << 20), number=9),
        "close": b"\1" + datagram(b"\4\0\0\0\x6c\0\0\0", flags=0),
        "raw": b"\0" + datagram(part(message(33))),
    },
    "dpdk_frames": {
        "arp": wire(arp(1, THEM4, US4), arp(2, THEM4, US4, US), arp(1, US4, US4), arp(1, THEM4, THEM4)),
        "echo": wire(ip4(1, b"\x08\0\0\0\0\1\0\1" + bytes(56)), ip6(58, b"\x80\0\0\0\0\1\0\1" + bytes(56))),
        "udp": wire(ip4(17, UDP), ip6(17, UDP), ip4(17, UDP, 0x2000), ip6(0, b"\x11\0\1\4\0\0\0\0" + UDP)),
        "discovery": wire(ip6(58, b"\x87" + bytes(7) + US6 + b"\1\1" + THEM, NODE6), ip6(58, b"\x88\0\0\0\x60\0\0\0" + THEM6 + b"\2\1" + THEM)),
        "errors": wire(ip4(1, b"\3\3\0\0\0\0\0\0" + QUOTE4), ip4(1, b"\3\4\0\0\0\0\5\0" + QUOTE4)),
        "query": wire(ip6(58, b"\x82" + bytes(23), bytes.fromhex("ff02") + bytes(13) + b"\1", 1)),
    },
    "rdma_frames": {
        "greeting": b"\0" + frame(1, b"") + frame(2, bytes(4080), number=1) + frame(4, KEY, number=2) + frame(3, b"", number=3),
        "written": b"\1" + frame(5, record(message(1, kind=1, length=4096, span=4096), written=1)) + frame(6, b"", number=1) + frame(7, b"", number=2),
        "copied": b"\1" + frame(5, record(message(1, kind=1, length=4096, span=4096), bytes(range(256)) * 16)),
        "crossing": b"\1" + frame(5, LONG[:8000]) + frame(5, LONG[8000:], number=1),
        "cut_header": b"\1" + frame(5, LONG[:20]) + frame(5, LONG[20:5000], number=1) + frame(5, LONG[5000:], number=2),
        "outside": b"\1" + frame(5, record(message(1, kind=1, length=4096, span=4096, offset=1 << 20), written=1)),
        "zeros": b"\1" + frame(5, record(message(1, kind=2, span=262144)) + record(message(33))),
        "lying_credit": b"\0" + frame(6, b"", credit=5, handled=9),
    },
    "message": MESSAGES,
    "region_table": {"one": ENTRY, "two": ENTRY + ENTRY2, "cut": ENTRY[:-1]},
    "handshake": {
        "server": b"\x04" + HELLO + PROOF,
        "server_bytewise": b"\x0c" + HELLO + PROOF,
        "server_secret": b"\x06" + HELLO_MAC + PROOF,
        "client": b"\x05" + CHALLENGE + WELCOME,
        "client_secret": b"\x07" + CHALLENGE + WELCOME,
        "client_rejected": b"\x05" + REJECT,
        "http": b"\x00GET / HTTP/1.1\r\n\r\n",
        "tls": b"\x00\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    },
    "receive": {
        "extents": b"\x01" + message(1, kind=1, length=4096, span=4096) + bytes(range(256)) * 16
        + message(1, kind=2, span=4096, offset=4096) + message(33) + message(14),
        "outside": b"\x03" + message(1, kind=1, length=8192, span=8192, offset=61440) + bytes(8192),
        "stream": b"\x05" + message(2, length=3000) + bytes(3000) + message(2, length=1, offset=3000) + b"x",
        "postcopy": b"\x05" + message(16, kind=1, length=4096, span=4096) + bytes(4096) + message(16, kind=2, span=65536) + message(15),
        "zeros": b"\x07" + b"".join(message(1, kind=2, span=4096, offset=4096 * i) for i in range(16)),
        "regions": b"\x09" + message(4, length=len(ENTRY), value=1) + ENTRY + message(8, value=5),
    },
}

for target, seeds in SEEDS.items():
    (HERE / target).mkdir(parents=True, exist_ok=True)
    for name, content in seeds.items():
        (HERE / target / name).write_bytes(content)
