# SPDX-License-Identifier: GPL-2.0-or-later
"""wrong_input.py - strangers on the port, guests that do not fit, parameters that do not exist: words, and nobody hurt"""
import os
import random
import socket
import struct
import subprocess
import sys
import time

from fixture import Failed, check, one_at_most, state, wait_until
from harness.migrate import PORT
from harness.qmp import QmpError
from registry import case

# run at the other end of the path: sends hostile bytes to the listener, a kind per connection
STRANGER = r"""
import random, socket, struct, sys, time
host, port, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
hello = b"APNMIG\r\n" + struct.pack("<HHI", 1, 112, 0)
kinds = [b"", b"\x00" * 4096, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", hello, hello + b"\xff" * 96,
         b"APNMIG\r\n" + b"\xff" * 200, b"QEVM\x00\x00\x00\x03", hello[:5], b"\x01" * 65536]
kinds += [bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400))) for _ in range(20)]
held = []
for bytes_ in kinds:
    s = socket.create_connection((host, port), 5)
    try:
        s.sendall(bytes_)
        s.settimeout(0.02)
        s.recv(4096)
    except OSError:
        pass
    held.append(s)          # silent ones stay open
for _ in range(40):
    held.append(socket.create_connection((host, port), 5))
time.sleep(0.2)
for s in held:
    s.close()
print(len(held))
"""


def strangers(site, end, host, seed):
    done = site.path.run(end, sys.executable, "-c", STRANGER, host, str(PORT), str(seed), seconds=60)
    if done.returncode:
        raise Failed("the strangers' program failed: " + done.stderr.strip()[-300:])
    return int(done.stdout)


@case("wrong input: strangers before, during and after the handshake; the listener survives, the migration completes", seconds=120)
def hostile_connections(lab):
    with lab.site(rate_gbps=0.3) as site:
        source = site.source(lab.guest())
        dest = site.dest(source)
        site.listen(dest)
        count = strangers(site, source.end, site.other(source), 1)
        check(dest.status() == "inmigrate", "destination is %s after the strangers", dest.status())
        site.begin(source, None)
        wait_until(lambda: source.qmp.execute("query-migrate").get("apn", {}).get("posted", 0) > 1 << 20, 20, "first pages")
        count += strangers(site, source.end, site.other(source), 2)
        status = site.wait(source, 60)
        check(status == "completed", "ended as %s: %s", status, site.error_of(source))
        site.same_memory(source, dest)
        return "%d strangers" % count


@case("wrong input: a second migration to a destination that is taken", seconds=90)
def taken(lab):
    with lab.site(rate_gbps=0.2) as site:
        first = site.source(lab.guest())
        second = site.source(lab.guest())
        dest = site.dest(first)
        site.begin(first, dest)
        wait_until(lambda: first.qmp.execute("query-migrate").get("apn", {}).get("posted", 0) > 1 << 20, 20, "first pages")
        site.begin(second, None)
        check(site.wait(second, 15) == "failed", "the second migration did not fail")
        words = site.error_of(second)
        check("another migration" in words, "words: %s", words)
        check(second.status() == "running", "second guest is %s", second.status())
        check(site.wait(first, 60) == "completed", "the first one failed: %s", site.error_of(first))
        site.same_memory(first, dest)
        return words


@case("wrong input: memory sizes differ, both sizes are named", seconds=90)
def size_mismatch(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.start("b", lab.guest(mib=source.guest.mib + 64))
        site.begin(source, dest)
        check(site.wait(source, 15) == "failed", "did not fail")
        words = site.error_of(source)
        check(source.status() == "running", "guest is %s", source.status())
        check("pc.ram" in words, "words: %s", words)
        check(any(w in words for w in (hex(source.guest.mib << 20)[2:], str(source.guest.mib << 20))), "source's size is not named: %s", words)
        return words


@case("wrong input: devices differ, the destination says which", seconds=90)
def device_mismatch(lab):
    with lab.site() as site:
        source = site.source(lab.guest())
        dest = site.dest(source, extra=["-device", "virtio-rng-pci"])
        site.begin(source, dest)
        status = site.wait(source, 20)
        if status == "completed":  # a device more at the destination may be legal for QEMU; the machine must then work
            site.same_memory(source, dest)
            return "QEMU accepts it"
        check(source.status() == "running", "guest is %s: %s", source.status(), site.error_of(source))
        check(site.error_of(source), "no words")
        return site.error_of(source)


@case("wrong input: secrets right, wrong, missing on one side", seconds=150)
def secrets(lab):
    words = []
    with lab.site() as site:
        source = site.source(lab.guest())
        source.qmp.execute("object-add", **{"qom-type": "secret", "id": "right", "data": "correct horse battery staple"})
        source.qmp.execute("object-add", **{"qom-type": "secret", "id": "wrong", "data": "incorrect horse battery staple"})
        for ours, theirs, fits in (("wrong", "right", False), ("", "right", False), ("right", "", False), ("right", "right", True)):
            dest = site.dest(source)
            dest.qmp.execute("object-add", **{"qom-type": "secret", "id": "right", "data": "correct horse battery staple"})
            site.begin(source, dest, {"apn-secret": ours}, {"apn-secret": theirs})
            status = site.wait(source, 20)
            check((status == "completed") == fits, "secret %r against %r: %s", ours, theirs, status)
            if not fits:
                words.append(site.error_of(source))
                check("secret" in words[-1], "words: %s", words[-1])
                check(dest.status() == "inmigrate", "destination is %s: it should listen on", dest.status())
                dest.stop()
        site.same_memory(source, dest)
    return " / ".join(words)


@case("wrong input: combinations that do not work are refused in words", seconds=60)
def refused_combinations(lab):
    words = []
    with lab.site() as site:
        source = site.source(lab.guest())
        for capability in ("multifd", "xbzrle", "mapped-ram", "background-snapshot", "x-colo"):
            try:
                source.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": capability, "state": True}])
            except QmpError:
                continue  # this build or another capability refuses it before us
            try:
                source.qmp.execute("migrate", uri="apn:%s:%d" % (site.other(source), PORT))
                raise Failed("migrate over apn with %s was accepted" % capability)
            except QmpError as error:
                check(capability.removeprefix("x-").split("-")[0] in error.description.lower(), "%s: words: %s", capability, error.description)
                words.append(error.description)
            source.qmp.execute("migrate-set-capabilities", capabilities=[{"capability": capability, "state": False}])
        source.qmp.execute("object-add", **{"qom-type": "secret", "id": "tls", "data": "x" * 20})
        source.qmp.execute("migrate-set-parameters", **{"tls-creds": "tls"})
        try:
            source.qmp.execute("migrate", uri="apn:%s:%d" % (site.other(source), PORT))
            raise Failed("tls-creds was accepted: it would have been ignored")
        except QmpError as error:
            words.append(error.description)
        check(source.status() == "running", "guest is %s", source.status())
    return " / ".join(words)


@case("wrong input: parameters and addresses out of range name the value and the limit", seconds=60)
def bad_parameters(lab):
    words = []
    with lab.site() as site:
        source = site.source(lab.guest())
        for key, value, limit in (("apn-lanes", 33, "32"), ("apn-timeout", 10, "500"), ("apn-backend", "pigeon", "uring"), ("apn-commit", "maybe", None),
                                  ("apn-send-mode", "fast", None), ("apn-secret", "nobody", "nobody"), ("x-apn-filters", "fault=nonsense", "fault")):
            try:
                source.qmp.execute("migrate-set-parameters", **{key: value})
                source.qmp.execute("migrate", uri="apn:%s:%d" % (site.other(source), PORT))
                status = site.wait(source, 10)
                text = site.error_of(source)
                check(status == "failed", "%s=%r was accepted", key, value)
            except QmpError as error:
                text = error.description
            check(str(value) in text or (limit and limit in text), "%s=%r: words: %s", key, value, text)
            words.append(text)
            source.qmp.execute("migrate-set-parameters", **{"apn-lanes": 0, "apn-timeout": 8000, "apn-backend": "uring", "apn-secret": "",
                                                            "x-apn-filters": ""})
        for uri in ("apn:", "apn:host", "apn:host:99999", "apn:host:-1", "apn:[::1:4444", "apn:host:port:more"):
            try:
                source.qmp.execute("migrate", uri=uri)
                check(site.wait(source, 10) == "failed", "%s was accepted", uri)
                words.append(site.error_of(source))
            except QmpError as error:
                words.append(error.description)
            check(words[-1], "%s: no words", uri)
        check(source.status() == "running", "guest is %s", source.status())
    return " / ".join(words)


@case("wrong input: a peer that proved itself and then talks nonsense", seconds=120)
def traitor(lab):
    """Flips bits of the path's traffic through a proxy between source and destination."""
    rng = random.Random(7)
    results = []
    with lab.site() as site:
        source = site.source(lab.guest())
        for at in (100, 5000, 200000, 3000000):
            dest = site.dest(source)
            site.listen(dest)
            proxy = site.path.prefix(dest.end) + [sys.executable, "-c", PROXY, str(PORT + 1), str(PORT), str(at), str(rng.randrange(1 << 30))]
            child = subprocess.Popen(proxy, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)
            try:
                check(child.stdout.readline(), "the proxy did not start")
                site.begin(source, None, {"apn-timeout": 3000}, port=PORT + 1)
                status = site.wait(source, 30)
            finally:
                child.kill()
                child.wait()
            states = one_at_most(source, dest)
            results.append("byte %d: %s" % (at, status))
            if status == "completed":
                site.same_memory(source, dest)
                source.stop()
                source = site.source(lab.guest())
            else:
                check(states[0] == "running", "source is %s: %s", states[0], site.error_of(source))
            dest.stop()
    return ", ".join(results)


# copies both ways; damages one header byte of the first connection's forward direction, then is honest.
PROXY = r"""
import select, socket, sys, random
listen, to, at, seed = map(int, sys.argv[1:5])
rng = random.Random(seed)
server = socket.create_server(("0.0.0.0", listen)); print("ready", flush=True)
pairs, passed, damaged = {}, 0, False
for _ in range(2000000):
    ready = select.select([server, *pairs], [], [], 30)[0]
    if not ready: break
    for s in ready:
        if s is server:
            a = server.accept()[0]
            try: b = socket.create_connection(("127.0.0.1", to), 5)
            except OSError: a.close(); continue
            pairs[a] = (b, True); pairs[b] = (a, False)
            continue
        if s not in pairs: continue
        other, forward = pairs[s]
        try: data = s.recv(65536)
        except OSError: data = b""
        if not data:
            for x in (s, other): pairs.pop(x, None); x.close()
            continue
        if forward:
            if not damaged and passed + len(data) > at:
                # a header starts somewhere here: damage a run of 48 bytes, so that one is hit
                i = max(0, at - passed); data = bytearray(data); damaged = True
                for k in range(i, min(i + 65536, len(data))): data[k] ^= 0x55
                data = bytes(data)
            passed += len(data)
        try: other.sendall(data)
        except OSError: pass
"""
