#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Plain TCP, for comparison.

    stream.py send ADDRESS PORT FILE OFFSET SIZE       to each that connects, until a signal
    stream.py receive HOST:PORT...                     from all at once, thrown away; exit 0 at the end of all
"""

import os
import socket
import sys
import threading


def send(address, port, path, offset, size):
    with socket.create_server((address, port)) as server, open(path, "rb") as stream:
        print("ready", flush=True)
        while True:
            connection, _ = server.accept()
            with connection:
                sent = 0
                while sent < size:
                    sent += os.sendfile(connection.fileno(), stream.fileno(), offset + sent, min(size - sent, 1 << 20))


def receive(peer, totals):
    buffer = bytearray(1 << 20)
    host, port = peer.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        while count := connection.recv_into(buffer):
            totals[peer] = totals.get(peer, 0) + count


def main():
    if sys.argv[1] == "send":
        address, port, path, offset, size = sys.argv[2:]
        send(address, int(port), path, int(offset), int(size))
    totals = {}
    threads = [threading.Thread(target=receive, args=(peer, totals)) for peer in sys.argv[2:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(totals.values()), flush=True)


if __name__ == "__main__":
    main()
