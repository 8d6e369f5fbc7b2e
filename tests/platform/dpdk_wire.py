# SPDX-License-Identifier: GPL-2.0-or-later
"""dpdk_wire.py - apn-dpdk's socket and rings spoken from Python, so that a test can also speak them wrongly

Layouts: transport/dpdk/shared/control.h and rings.h.
Owner: tests/platform/dpdk_net.py.   Thread: the caller's.   Time: s.   Units: bytes.
"""
import array
import mmap
import os
import select
import socket
import struct

MAGIC, VERSION = 0x644E5041, 1
HELLO, REGION, OPEN, CLOSE, STATS = 1, 2, 3, 4, 5
DATAGRAM, REFUSED, TOO_BIG = 1, 2, 3
NO_REGION = 0xFFFFFFFF
MESSAGE = struct.Struct("<IIIiIIQQIIIIIII160s20s20s200s4x")
ADDRESS = struct.Struct("<16sHBB")
SEND = struct.Struct("<IIIIQ20s20s")
COME = struct.Struct("<IBBH20s20s")
PAGE = 4096


class Refused(Exception):
    def __init__(self, code, text):
        super().__init__(text)
        self.code = code


def address(host="", port=0):
    if not host:
        return ADDRESS.pack(bytes(16), port, 0, 0)
    six = ":" in host
    packed = socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
    return ADDRESS.pack(packed.ljust(16, b"\0"), port, 6 if six else 4, 0)


def read_address(packed):
    ip, port, family, _ = ADDRESS.unpack(packed)
    if family == 6:
        return socket.inet_ntop(socket.AF_INET6, ip), port
    return socket.inet_ntop(socket.AF_INET, ip[:4]), port


class Client:
    """One connection, as a program that migrates has it."""

    def __init__(self, path, greet=True):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(10)
        self.socket.connect(path)
        if greet:
            self.hello = self.ask(HELLO)

    def close(self):
        self.socket.close()

    def say(self, kind, fds=(), flags=0, region=0, offset=0, length=0, channel=0, local=b"", remote=b""):
        message = MESSAGE.pack(MAGIC, VERSION, kind, 0, flags, region, offset, length, channel, 0, 0, 0, 0, 0, 0, b"", local, remote, b"")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self.socket.sendmsg([message], rights)
        except (BrokenPipeError, ConnectionResetError):
            pass  # who turns us away says why before hanging up

    def hear(self):
        """(message as a tuple, fds)"""
        try:
            data, rights, _flags, _from = self.socket.recvmsg(MESSAGE.size, socket.CMSG_SPACE(8))
        except ConnectionResetError:  # closed without reading what we said; what it said comes behind that
            data, rights, _flags, _from = self.socket.recvmsg(MESSAGE.size, socket.CMSG_SPACE(8))
        fds = array.array("i")
        for level, kind, payload in rights:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[:len(payload) - len(payload) % fds.itemsize])
        if not data:
            raise EOFError("apn-dpdk hung up")
        return MESSAGE.unpack(data), list(fds)

    def ask(self, kind, **words):
        self.say(kind, **words)
        message, fds = self.hear()
        if message[3]:
            raise Refused(message[3], message[18].split(b"\0")[0].decode())
        return message, fds

    def region(self, number, fd, length, offset=0):
        return self.ask(REGION, fds=(fd,), region=number, length=length, offset=offset)

    def open(self, local=b"", remote=b""):
        message, fds = self.ask(OPEN, local=local or address(), remote=remote or address())
        return Channel(self, message, fds)


class Channel:
    """One pair of rings. Everything is written without checks: what is wrong is for apn-dpdk to find."""

    def __init__(self, client, message, fds):
        self.client = client
        self.number, self.send_slots, self.come_slots, self.slot_bytes = message[8:12]
        self.datagram_max = message[12]
        self.port = read_address(message[16])[1]
        self.memory = mmap.mmap(fds[0], message[7])
        self.memory_fd = fds[0]
        self.bell = socket.socket(fileno=fds[1])
        self.bell.setblocking(False)
        self.stride = (((self.slot_bytes + 63) // 64) | 1) * 64
        self.come_at = PAGE + self.pages(self.send_slots * SEND.size)
        self.send_buffers = self.come_at + self.pages(self.come_slots * COME.size)
        self.come_buffers = self.send_buffers + self.pages(self.send_slots * self.stride)
        self.made = self.taken = 0

    @staticmethod
    def pages(count):
        return (count + PAGE - 1) // PAGE * PAGE

    def get(self, line):
        return struct.unpack_from("<I", self.memory, line * 64)[0]

    def put(self, line, value):
        struct.pack_into("<I", self.memory, line * 64, value & 0xFFFFFFFF)

    def ring(self):
        try:
            self.bell.send(b"\0")
        except BlockingIOError:
            pass

    def entry(self, head, payload_bytes=0, region=NO_REGION, offset=0, remote=b"", head_bytes=None):
        slot = self.made % self.send_slots
        SEND.pack_into(self.memory, PAGE + slot * SEND.size, len(head) if head_bytes is None else head_bytes, payload_bytes, region, 0,
                       offset, remote or address(), address())
        at = self.send_buffers + slot * self.stride
        self.memory[at:at + len(head)] = head
        self.made += 1

    def publish(self):
        self.put(0, self.made)
        self.ring()

    def send(self, head, **words):
        self.entry(head, **words)
        self.publish()

    def receive(self, seconds=3.0):
        """(kind, bytes, from, tos), or None when nothing comes"""
        if self.get(2) == self.taken & 0xFFFFFFFF:
            struct.pack_into("<I", self.memory, 4, 1)  # wake us for arrivals
            while self.get(2) == self.taken & 0xFFFFFFFF:
                if not select.select([self.bell], [], [], seconds)[0]:
                    return None
                if not self.bell.recv(64):
                    raise EOFError("apn-dpdk hung up")
        slot = self.taken % self.come_slots
        count, kind, tos, _, remote, _local = COME.unpack_from(self.memory, self.come_at + slot * COME.size)
        at = self.come_buffers + slot * self.stride
        data = self.memory[at:at + count] if kind == DATAGRAM else b""
        self.taken += 1
        self.put(3, self.taken)
        return kind, data, read_address(remote), tos

    def close(self):
        self.client.ask(CLOSE, channel=self.number)
        self.forget()

    def forget(self):
        self.memory.close()
        os.close(self.memory_fd)
        self.bell.close()
