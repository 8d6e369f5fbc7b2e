#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""test_raw - requests bent in every way, on raw sockets: the server answers or hangs up, and stays small

Usage: test_raw.py SERVE_DOCUMENT [ROUNDS [SEED]].  Owner: meson test.  Thread: main.
Time: every wait has a limit, seconds.  Units: bytes.
"""
import os
import random
import socket
import sys

from server import Server

ROUNDS = 20000 if os.environ.get("APN_TEST_FULL") else 1000
GROWTH_KIB = 24 * 1024
WORDS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"PRI * HTTP/2.0\r\n\r\nSM", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9.9", b"\r\n", b"\n", b"\0", b"\xff\xfe", b"Content-Length: 99999999999999999999\r\n",
         b"Content-Length: -1\r\n", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"Host: \r\n",
         b"Last-Event-ID: " + b"9" * 300 + b"\r\n", b"Authorization: Bearer \r\n", b"If-None-Match: *\r\n", b"Range: bytes=0-1\r\n", b"%00", b"%2e%2e%2f", b"?limit=9999999999", b"&" * 50, b"/" * 80, b"{" * 200, b"A" * 5000,
         b"X-Fold: a\r\n b\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"]


def templates(token):
    secret = b"Authorization: Bearer " + token.encode() + b"\r\n"
    json = b"Content-Type: application/json\r\n"
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"GET /v1/state HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n"
    yield b"GET /v1/vms?limit=5&state=running HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n"
    yield b"GET /v1/vms/web-1/explain HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n"
    yield b"GET /v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: abc-1\r\n" + secret + b"\r\n"
    yield b"POST /v1/command/migrate HTTP/1.1\r\nHost: x\r\nContent-Length: 29\r\n" + json + secret + b'\r\n{"vm":"web-1","site":"tokyo"}'
    yield b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n" + b"GET /v1/plan HTTP/1.1\r\nHost: x\r\n" + secret + b"\r\n"


def bend(chance, text):
    """TEXT with one to six changes."""
    text = bytearray(text)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(text) + 1)
        kind = chance.randrange(6)
        if kind == 0 and text:
            text[at % len(text)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            text[at:at] = chance.choice(WORDS)
        elif kind == 2:
            del text[at:at + chance.randint(1, 30)]
        elif kind == 3:
            text[at:at] = text[max(0, at - chance.randint(1, 60)):at]
        elif kind == 4:
            text[at:at + 4] = chance.randbytes(4)
        else:
            text = text[:at] if chance.random() < 0.3 else text + text[at:]
    return bytes(text)


def one_round(server, chance, text):
    """Send TEXT in pieces to one of the listeners, read a little, leave in one of three ways."""
    one = server.raw(server.socket if chance.random() < 0.3 else None)
    one.settimeout(0.15)
    try:
        while text:
            size = chance.choice((1, 7, 64, 4096, len(text)))
            one.send(text[:size])
            text = text[size:]
        if chance.random() < 0.3:
            one.shutdown(socket.SHUT_WR)
        if chance.random() < 0.6:
            one.recv(chance.choice((1, 100, 65536)))
    except OSError:
        pass  # it hung up: its right
    if chance.random() < 0.3:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset instead of an end
    one.close()
    server.sockets.clear()


def main():
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.SystemRandom().randrange(1 << 32)
    chance = random.Random(seed)
    print("seed %d, %d rounds" % (seed, rounds))
    limits = {"rate_per_s": 100000, "rate_burst": 100000, "failures_per_minute": 1000, "request_s": 2, "idle_s": 2}
    with Server(sys.argv[1], api={"limits": limits}) as server:
        known = list(templates(server.token))
        first = 0
        for number in range(rounds):
            one_round(server, chance, bend(chance, chance.choice(known)))
            if number % 50 == 0:
                server.event("x", {"n": number})
            if number % 300 == 299:
                status = server.ask("GET", "/v1/openapi.json", token=False)[0]
                resident = server.resident_kib()
                first = first or resident
                assert status == 200, "round %d: answered %d" % (number, status)
                assert resident - first < GROWTH_KIB, "round %d: %d KiB, at first %d KiB" % (number, resident, first)
        print("resident: %d KiB after 300 rounds, %d KiB at the end" % (first, server.resident_kib()))


if __name__ == "__main__":
    main()
