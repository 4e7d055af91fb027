# SPDX-License-Identifier: MIT
"""Ports of this machine that nobody else gets while a test needs them.

A socket that is bound and never listens holds each: the kernel gives its port to no program that asks for any port, be it
to listen or to call from. A program that names the port may still listen there, for ZeroMQ sets SO_REUSEADDR as we do,
again and again; while none does, whoever calls is refused.
"""

import random
import socket

ASSIGNED = range(20000, 30000)  # what the kernel gives to nobody by itself


def bound(port, host="127.0.0.1"):
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind((host, port))
    except OSError:
        held.close()
        raise
    return held


def in_a_row(count):
    """Sockets that hold `count` ports, each the next of the one before."""
    for _ in range(1000):
        first = random.randrange(ASSIGNED.start, ASSIGNED.stop - count)
        held = []
        try:
            for port in range(first, first + count):
                with socket.socket() as alone:  # without SO_REUSEADDR: nobody else has it, listening or not
                    alone.bind(("127.0.0.1", port))
                held.append(bound(port))
            return held
        except OSError:
            for one in held:
                one.close()
    raise AssertionError(f"no {count} free ports in a row")


def port_of(held):
    return held.getsockname()[1]
