# SPDX-License-Identifier: MIT
"""Where a node listens.

What could go wrong: a port that is taken ends the node or is not told, another one is taken without need, a node
without a port counts as ready, two nodes of one machine get the same port from the broker, an address is asked for when
nobody can type it.
"""

import socket

from support import zsp
from support.case import EndToEnd
from support.fake_broker import FakeBroker


class PortTest(EndToEnd):
    def hold(self, port):
        """Another program that has this port."""
        held = socket.socket()
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        held.listen()
        self.addCleanup(held.close)


class Ports(PortTest):
    def node(self, name="node", port="auto", broker=None, **options):
        return self.world.node(name, broker, self.world.share("share", {"a": b"a"}), port=port,
                               args=("--bind", "127.0.0.1"), **options)

    def test_auto_takes_a_port_of_its_range_and_keeps_it(self):
        node = self.node()
        first = node.port
        self.assertIn(first, range(9000, 10000))
        node.terminate()
        self.assertEqual(self.node().port, first)

    def test_the_port_of_the_last_start_is_left_for_another_if_it_is_taken_and_that_is_said(self):
        node = self.node()
        first = node.port
        node.terminate()
        self.hold(first)
        node = self.node()
        self.assertNotEqual(node.port, first)
        node.wait_stderr(f"port {first} of the last start is in use: taking {node.port}")

    def test_a_range_is_used_up_and_then_an_error_names_it(self):
        first = self.world.ports_in_a_row(2)
        span = f"{first}-{first + 1}"
        ports = {self.node("one", span).port, self.node("two", span).port}
        self.assertEqual(ports, {first, first + 1})
        third = self.node("three", span, wait=False)
        self.assertEqual(third.wait(), 2)
        self.assertIn(f"all ports of {span} are in use: choose another range with --port", third.stderr.text)

    def test_a_fixed_port_that_is_taken_is_an_error_that_names_it(self):
        port = self.world.ports_in_a_row(1)
        self.hold(port)
        node = self.node(port=port, wait=False)
        self.assertEqual(node.wait(), 2)
        self.assertIn(f"port {port} is in use", node.stderr.text)
        self.assertEqual(node.stdout.text, "")

    def test_a_remembered_port_outside_of_the_range_is_not_used(self):
        self.node().terminate()
        first = self.world.ports_in_a_row(1)
        self.assertEqual(self.node(port=first).port, first)

    def test_0_is_any_port(self):
        self.assertGreater(self.node(port=0).port, 1023)

    def test_wrong_ports_are_usage_errors(self):
        for text in ("", "x", "70000", "-1", "9000-", "9001-9000", "0-5", "9000-9001-9002", "9000 ", "brokers"):
            result = self.world.run("znode", "--no-broker", "--port", text)
            self.assert_exit(result, 2)
            self.assertIn("--port needs a port, a range A-B, auto, broker or 0", result.stderr)

    def test_an_address_of_another_machine_is_an_error_that_says_so(self):
        for port in ("auto", "0", "9500"):
            node = self.world.node("node", None, self.world.share("s", {}), port=port, args=("--bind", "192.0.2.7"),
                                   wait=False)
            self.assertEqual(node.wait(), 2)
            self.assertIn("192.0.2.7", node.stderr.text)
            self.assertIn("choose another --bind", node.stderr.text)


class PortsOfTheBroker(PortTest):
    def node(self, name, broker, share=True, **options):
        share = self.world.share(f"share-{name}", {f"file-{name}": name.encode()}) if share else None
        return self.world.node(name, broker, share, port="broker", **options)

    def test_nodes_of_one_machine_get_a_port_each_and_their_files_are_found(self):
        first = self.world.ports_in_a_row(3)
        broker = self.world.broker("--assign-ports", f"{first}-{first + 2}")
        nodes = [self.node(name, broker) for name in ("one", "two", "three")]
        self.assertEqual({node.port for node in nodes}, {first, first + 1, first + 2})
        self.world.wait_found(broker, "file-one", "file-two", "file-three")
        result = self.world.run("zget", "--broker", broker.endpoint, "-d", "got", "file-two")
        self.assert_exit(result, 0)

    def test_a_change_of_the_share_is_told_although_the_share_started_after_the_link(self):
        first = self.world.ports_in_a_row(1)
        broker = self.world.broker("--assign-ports", f"{first}-{first}")
        self.node("one", broker)
        self.world.wait_found(broker, "file-one")
        self.world.path("share-one", "later").write_bytes(b"later")
        self.world.wait_found(broker, "later")

    def test_name_and_home_are_made_of_the_port_that_came(self):
        first = self.world.ports_in_a_row(1)
        broker = self.world.broker("--assign-ports", f"{first}-{first}")
        node = self.world.start("znode", "--broker", broker.endpoint, "--port", "broker")
        self.world.wait_node(node)
        self.assertTrue((self.world.folder / f"home/Downloads/P2P/User-{first}/Download").is_dir())
        peers = self.world.run("zpeers", "--broker", broker.endpoint)
        self.assertIn(f"User-{first}", peers.stdout)

    def test_the_port_is_remembered_also_without_a_broker_that_assigns(self):
        first = self.world.ports_in_a_row(40)
        broker = self.world.broker("--assign-ports", f"{first}-{first + 39}")
        node = self.node("one", broker)
        port = node.port
        node.terminate()
        self.assertEqual(self.node("one", self.world.broker()).port, port)

    def test_a_port_from_elsewhere_is_not_taken_for_an_assigned_one(self):
        first = self.world.ports_in_a_row(2)
        broker = self.world.broker("--assign-ports", f"{first}-{first + 1}")
        node = self.world.node("one", broker, self.world.share("s", {}), port="auto")
        node.terminate()
        self.assertIn(self.node("one", broker).port, (first, first + 1))

    def test_a_remembered_port_that_is_taken_makes_it_ask_for_another_and_say_so(self):
        first = self.world.ports_in_a_row(2)
        broker = self.world.broker("--assign-ports", f"{first}-{first + 1}")
        node = self.node("one", broker)
        port = node.port
        node.terminate()
        self.hold(port)
        node = self.node("one", broker)
        self.assertEqual(node.port, 2 * first + 1 - port)
        node.wait_stderr(f"port {port} of the last start is in use: asking the broker for another")

    def test_assigned_ports_that_other_programs_have_are_passed_over_and_that_is_said_once(self):
        first = self.world.ports_in_a_row(5)
        for port in range(first, first + 4):
            self.hold(port)
        node = self.node("one", self.world.broker("--assign-ports", f"{first}-{first + 4}"))
        self.assertEqual(node.port, first + 4)
        node.terminate()
        said = [line for line in node.stderr.lines if "assigned by the broker, is in use" in line]
        self.assertEqual(len(said), 1, said)

    def test_without_a_range_at_the_broker_it_says_what_to_do_and_is_not_ready(self):
        broker = self.world.broker()
        node = self.node("one", broker, wait=False)
        node.wait_stderr(r"denied: no ports are assigned here.*--assign-ports.*--port")
        self.assertEqual(node.terminate()[0], 0)
        self.assertEqual(node.stdout.text, "")

    def test_it_waits_for_a_port_while_all_are_taken_and_for_a_broker_that_is_not_there_yet(self):
        first, port = self.world.ports_in_a_row(1), self.world.port()
        one = self.node("one", f"tcp://127.0.0.1:{port}", wait=False)
        one.wait_stderr("cannot reach the broker")
        broker = self.world.broker("--assign-ports", f"{first}-{first}", listen=f"tcp://127.0.0.1:{port}")
        self.world.wait_node(one)
        two = self.node("two", broker, wait=False)
        two.wait_stderr("busy: no port is free")
        self.assertEqual(two.terminate()[0], 0)
        self.assertEqual(two.stdout.text, "")

    def test_it_joins_with_0_then_with_the_port_on_the_same_connection(self):
        port = self.world.ports_in_a_row(1)

        class Assigning(FakeBroker):
            def on_join(self, route, message):
                self.joined[route] = message
                self.send(route, zsp.JOIN_OK, message.rid, "127.0.0.1", message.port or port, self.lease_ms, self.broker_id, 1)

        broker = self.world.fake(Assigning())
        node = self.node("one", broker)
        self.assertEqual(node.port, port)
        joins = [broker.wait_seen(zsp.JOIN, lambda message, wanted=wanted: message.port == wanted) for wanted in (0, port)]
        self.assertEqual(joins[0].route, joins[1].route)

    def test_the_address_must_be_of_this_machine(self):
        first = self.world.ports_in_a_row(1)
        broker = self.world.broker("--assign-ports", f"{first}-{first}")
        node = self.node("one", broker, args=("--bind", "192.0.2.7"), wait=False)
        self.assertEqual(node.wait(), 2)
        self.assertIn("choose another --bind", node.stderr.text)

    def test_it_needs_a_broker(self):
        result = self.world.run("znode", "--no-broker", "--port", "broker")
        self.assert_exit(result, 2)
        self.assertIn("--port broker needs a broker", result.stderr)
