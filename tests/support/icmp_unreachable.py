#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Answers each SYN to 10.88.0.1 that passes on `vb` with ICMP type 3 and the given code, until terminated."""

import socket
import struct
import sys

VICTIM_OFFSET, TARGET = 12, socket.inet_aton("10.88.0.1")


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def main():
    code = int(sys.argv[1])
    ethernet_ip = 0x0800
    packets = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ethernet_ip))
    packets.bind(("vb", ethernet_ip))
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    print("ready", flush=True)
    while True:
        packet = packets.recv(2048)
        if packet[9] == socket.IPPROTO_TCP and packet[16:20] == TARGET:
            original = packet[:28]
            head = struct.pack("!BBHI", 3, code, checksum(struct.pack("!BBHI", 3, code, 0, 0) + original), 0)
            raw.sendto(head + original, (socket.inet_ntoa(packet[VICTIM_OFFSET:VICTIM_OFFSET + 4]), 0))
            print("shot", struct.unpack("!H", packet[22:24])[0], flush=True)  # the port that was called


if __name__ == "__main__":
    main()
