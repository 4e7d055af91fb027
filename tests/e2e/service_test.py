# SPDX-License-Identifier: MIT
"""What systemd hears (sd_notify), on a socket that is ours.

What could go wrong: a service counts as started before it can serve, or never; it is taken for hung while it says BYE;
a missing or dead socket ends or holds up a program.
"""

import socket

from support.actor import DEADLINE_S
from support.case import EndToEnd


class ServiceManager(EndToEnd):
    def setUp(self):
        super().setUp()
        self.path = self.world.path("notify.socket")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(str(self.path))
        self.socket.settimeout(DEADLINE_S)
        self.env = {"NOTIFY_SOCKET": str(self.path)}

    def heard(self, wanted):
        """The next message that has the line `wanted`, as a list of lines."""
        while True:
            lines = self.socket.recv(65536).decode().split("\n")
            if wanted in lines:
                return lines

    def nothing_was_heard(self):
        self.socket.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.socket.recv(65536)
        self.socket.settimeout(DEADLINE_S)

    def test_a_broker_is_ready_when_it_listens_and_says_that_it_stops(self):
        broker = self.world.broker(env=self.env)
        self.assertIn(f"STATUS=listening on {broker.endpoint}", self.heard("READY=1"))
        broker.terminate()
        self.heard("STOPPING=1")

    def test_a_broker_that_cannot_listen_is_never_ready(self):
        broker = self.world.broker()
        self.assert_exit(self.world.run("zbroker", str(broker.port), env=self.env), 2)
        self.nothing_was_heard()

    def test_a_node_is_ready_when_it_has_joined_and_tells_how_its_broker_is(self):
        broker = self.world.broker()
        broker.terminate()
        node = self.world.node("node", broker, self.world.share("s", {}), wait=False, env=self.env)
        self.heard(f"STATUS=without the broker {broker.endpoint}, trying again")
        self.nothing_was_heard()
        broker = self.world.broker(listen=broker.endpoint)
        self.world.wait_node(node)
        self.heard("READY=1")
        self.heard(f"STATUS=joined {broker.endpoint}, serving at port {node.port}")
        node.terminate()
        self.heard("STOPPING=1")

    def test_a_node_without_a_broker_is_ready_when_it_serves(self):
        node = self.world.node("node", None, self.world.share("s", {}), env=self.env)
        self.assertIn(f"STATUS=serving at tcp://{node.endpoint}", self.heard("READY=1"))

    def test_nobody_at_the_socket_changes_nothing(self):
        for path in (str(self.world.folder / "nobody"), "relative", ""):
            broker = self.world.broker(env={"NOTIFY_SOCKET": path})
            node = self.world.node("node", broker, self.world.share("s", {}), env={"NOTIFY_SOCKET": path})
            self.assertEqual(node.terminate()[0], 0)
            self.assertEqual(broker.terminate()[0], 0)
