# SPDX-License-Identifier: MIT
"""A raw ZMTP 3 client over a plain TCP socket, for frames that no ZeroMQ library would send."""

import select
import socket
import struct
import time

from support.actor import DEADLINE_S

MORE, LONG, COMMAND = 1, 2, 4
PING, PONG = b"\x93\x01\x01", b"\x93\x01\x02"  # how their headers begin
GREETING = b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0" + bytes(31)


def property_bytes(name, value):
    return bytes([len(name)]) + name + struct.pack(">I", len(value)) + value


def frame(body, more=False, command=False):
    flags = (MORE if more else 0) | (COMMAND if command else 0)
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


def header(size, more=False):
    """The header of a long frame whose body never comes."""
    return bytes([LONG | (MORE if more else 0)]) + struct.pack(">Q", size)


class Zmtp:
    def __init__(self, port, handshake=True, host="127.0.0.1", timeout_s=DEADLINE_S):
        self.socket = socket.create_connection((host, port), timeout_s)
        self.buffer = b""
        if handshake:
            self.handshake()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def handshake(self):
        self.send(GREETING)
        self.read(64)
        ready = b"\x05READY" + property_bytes(b"Socket-Type", b"DEALER") + property_bytes(b"Identity", b"")
        self.send(frame(ready, command=True))
        flags, body = self.receive_frame(skip_commands=False)
        assert flags & COMMAND and body.startswith(b"\x05READY"), body

    def send(self, data):
        self.socket.sendall(data)

    def send_message(self, *bodies):
        self.send(b"".join(frame(body, more=i + 1 < len(bodies)) for i, body in enumerate(bodies)))

    def read(self, size):
        while len(self.buffer) < size:
            data = self.socket.recv(65536)
            if not data:
                raise ConnectionError("closed by the other side")
            self.buffer += data
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def receive_frame(self, skip_commands=True):
        while True:
            flags = self.read(1)[0]
            size = struct.unpack(">Q", self.read(8))[0] if flags & LONG else self.read(1)[0]
            body = self.read(size)
            if not (skip_commands and flags & COMMAND):
                return flags, body

    def receive_message(self):
        bodies = []
        while True:
            flags, body = self.receive_frame()
            bodies.append(body)
            if flags & MORE:
                continue
            if not bodies[0].startswith(PING):
                return bodies
            self.send_message(PONG + bodies.pop()[len(PING):])  # they may ask at any time whether we are there

    def is_cut(self, block, size_max):
        """True when the other side cuts the connection before it has taken so many bytes of this block again and again.

        A connection that was cut while its window was closed takes no more, and says so only to who reads.
        """
        self.socket.setblocking(False)
        left, end = memoryview(b""), time.monotonic() + DEADLINE_S
        while size_max > 0 and time.monotonic() < end:
            readable, writable, _ = select.select([self.socket], [self.socket], [], 1)
            try:
                if readable and not self.socket.recv(65536):
                    return True
                if writable:
                    left = left or memoryview(block)
                    sent = self.socket.send(left)
                    left, size_max = left[sent:], size_max - sent
            except BlockingIOError:
                pass
            except OSError:
                return True
        return self.is_closed()

    def is_closed(self):
        """True when the other side cuts the connection."""
        self.socket.settimeout(DEADLINE_S)
        try:
            while self.socket.recv(65536):
                pass
            return True
        except TimeoutError:
            return False
        except OSError:
            return True
