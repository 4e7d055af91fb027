#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""BitTorrent for comparison, with libtorrent: as it comes, without the ways to find strangers, and over TCP only:
uTP, which it would take first, is more than ten times slower between namespaces.

    torrent.py make FILE TORRENT v1|v2 ANNOUNCE       ANNOUNCE: a tracker's URL, or -
    torrent.py seed FILE TORRENT ADDRESS
    torrent.py fetch FOLDER TORRENT ADDRESS PEER...   prints `done`, then seeds until a signal
    torrent.py track ADDRESS PEER PORT                a tracker that knows one peer

All peers of libtorrent listen on port 6882.
"""

import http.server
import os
import socket
import sys
import time

import libtorrent

PORT = 6882
PIECE_BYTES = 1 << 20


def make(path, torrent, version, announce):
    files = libtorrent.file_storage()
    libtorrent.add_files(files, path)
    flag = {"v1": libtorrent.create_torrent.v1_only, "v2": libtorrent.create_torrent.v2_only}[version]
    maker = libtorrent.create_torrent(files, PIECE_BYTES, flag)
    if announce != "-":
        maker.add_tracker(announce)
    libtorrent.set_piece_hashes(maker, os.path.dirname(path))
    with open(torrent, "wb") as stream:
        stream.write(libtorrent.bencode(maker.generate()))


def session(address, folder, torrent, seed):
    session = libtorrent.session({
        "listen_interfaces": f"{address}:{PORT}", "enable_dht": False, "enable_lsd": False, "enable_upnp": False,
        "enable_natpmp": False, "enable_incoming_utp": False, "enable_outgoing_utp": False,
        "allow_multiple_connections_per_ip": True, "alert_mask": 0})
    parameters = libtorrent.add_torrent_params()
    parameters.ti = libtorrent.torrent_info(torrent)
    parameters.save_path = folder
    # The flags that a torrent has by default would let it wait for its turn.
    parameters.flags &= ~(libtorrent.torrent_flags.paused | libtorrent.torrent_flags.auto_managed)
    if seed:
        parameters.flags |= libtorrent.torrent_flags.seed_mode
    return session, session.add_torrent(parameters)


def fetch(folder, torrent, address, peers):
    _keep, handle = session(address, folder, torrent, False)
    asked_at = 0
    while not handle.status().is_seeding:
        # One that was not up yet is asked again.
        if time.monotonic() - asked_at > 1:
            asked_at = time.monotonic()
            for peer in peers:
                handle.connect_peer((peer, PORT))
        time.sleep(0.01)
    print("done", flush=True)
    sleep_for_ever()


def sleep_for_ever():
    while True:
        time.sleep(60)


def track(address, peer, port):
    class Tracker(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            peers = socket.inet_aton(peer) + int(port).to_bytes(2, "big")
            self.send_response(200)
            self.end_headers()
            self.wfile.write(libtorrent.bencode({b"interval": 1800, b"peers": peers}))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer((address, 6969), Tracker) as server:
        print("ready", flush=True)
        server.serve_forever()


def main():
    verb, *rest = sys.argv[1:]
    if verb == "make":
        make(*rest)
    elif verb == "seed":
        path, torrent, address = rest
        _keep = session(address, os.path.dirname(path), torrent, True)
        print("ready", flush=True)
        sleep_for_ever()
    elif verb == "fetch":
        folder, torrent, address, *peers = rest
        fetch(folder, torrent, address, peers)
    else:
        track(*rest)


if __name__ == "__main__":
    main()
