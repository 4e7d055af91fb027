# SPDX-License-Identifier: MIT
"""A TCP relay that counts what it passes on: what a process received that was killed and could not tell."""

import contextlib
import socket
import threading

PART_BYTES = 256 << 10


class CountingProxy:
    """Listens on an ephemeral port and connects each caller to `port`. `bytes` are those towards callers."""

    def __init__(self, port):
        self.target = port
        self.bytes = 0
        self.lock = threading.Lock()
        self.links = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.endpoint = f"127.0.0.1:{self.port}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                caller, _ = self.listener.accept()
                try:
                    node = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    caller.close()
                    continue
                self.links += [caller, node]
                threading.Thread(target=self.relay, args=(caller, node, False), daemon=True).start()
                threading.Thread(target=self.relay, args=(node, caller, True), daemon=True).start()

    def relay(self, source, target, is_counted):
        with contextlib.suppress(OSError):
            while part := source.recv(PART_BYTES):
                target.sendall(self.passed_on(part, is_counted))
                if is_counted:
                    with self.lock:
                        self.bytes += len(part)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def passed_on(self, part, is_to_caller):
        """What is sent in place of what came: here the same."""
        return part

    def stop(self):
        for end in (self.listener, *self.links):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
