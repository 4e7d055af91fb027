# SPDX-License-Identifier: MIT
"""Start, stop, restart and trouble: what each program says and how it ends.

What could go wrong: a node that does not come back to a restarted broker; an exit code that lies to a script; a start
that fails without naming the thing; a program that does not end when told to.
"""

import os
import signal
import socket
import unittest

from support import matching, zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_client import BrokerClient, PeerClient
from support.fake_node import FakeNode
from support.processes import BIN, PROGRAMS, STOP_S

TOOLS = {"zsearch": ["x"], "zget": ["x"], "zpeers": [], "zstat": []}


class CommandLine(EndToEnd):
    def test_help_fits_a_screen_and_lists_exit_codes(self):
        for program in PROGRAMS:
            result = self.world.run(program, "--help")
            self.assert_exit(result, 0)
            self.assertLessEqual(len(result.stdout.splitlines()), 50, program)
            self.assertIn(program, result.stdout)
            self.assertRegex(result.stdout, r"(?i)exit", program)
            self.assertRegex(result.stdout, r"(?i)example", program)

    def test_version(self):
        for program in PROGRAMS:
            result = self.world.run(program, "--version")
            self.assert_exit(result, 0)
            self.assertRegex(result.stdout, r"\d+\.\d+", program)

    def test_an_unknown_option_is_a_usage_error(self):
        for program in PROGRAMS:
            result = self.world.run(program, "--no-such-option")
            self.assert_exit(result, 2)
            self.assertIn("no-such-option", result.stderr)

    def test_a_missing_argument_is_a_usage_error(self):
        for program in ("zget", "zhash", "zls"):
            self.assert_exit(self.world.run(program), 2)

    def test_json_done_comes_once_whatever_the_exit(self):
        broker = self.world.dead_endpoint()
        for program, args in TOOLS.items():
            result = self.world.run(program, "--broker", broker, "--timeout", "1", "--json", *args)
            self.assert_exit(result, 2)
            self.assertTrue(result.done["error"], program)

    def test_every_program_is_installed_under_its_name(self):
        for program in PROGRAMS:
            self.assertTrue(os.access(BIN / program, os.X_OK), program)


class Addresses(EndToEnd):
    def test_option_environment_and_config_name_the_broker_in_that_order(self):
        broker = self.world.broker()
        dead = self.world.dead_endpoint()
        config = self.world.path("home/.config/zswarm/config")
        config.write_text(f"broker = {broker.endpoint}\n")
        self.assert_exit(self.world.run("zsearch", "x"), 1)
        self.assert_exit(self.world.run("zsearch", "--timeout", "1", "x", env={"ZSWARM_BROKER": dead}), 2)
        self.assert_exit(self.world.run("zsearch", "--broker", broker.endpoint, "x", env={"ZSWARM_BROKER": dead}), 1)
        elsewhere = self.world.path("xdg/zswarm/config")
        elsewhere.write_text(f"broker = {dead}\n")
        self.assert_exit(self.world.run("zsearch", "--timeout", "1", "x",
                                        env={"XDG_CONFIG_HOME": str(self.world.folder / "xdg")}), 2)

    def test_host_and_port_without_scheme_and_names_that_resolve(self):
        broker = self.world.broker()
        self.assert_exit(self.world.run("zsearch", "--broker", f"127.0.0.1:{broker.port}", "x"), 1)
        try:
            socket.getaddrinfo("localhost", None)
        except OSError:
            self.skip_loudly("localhost does not resolve here")
        self.assert_exit(self.world.run("zsearch", "--broker", f"localhost:{broker.port}", "x"), 1)

    def test_a_malformed_address_is_an_error_that_names_it(self):
        for text in ("tcp://", "tcp://127.0.0.1:99999", "ipc:///tmp/x", "127.0.0.1:port", "tcp://%n:1", "[::1"):
            for program, args in (("zsearch", ["x"]), ("znode", ["--state", self.world.path("state")])):
                result = self.world.run(program, "--broker", text, *args)
                self.assert_exit(result, 2)
                self.assertIn(text, result.stderr)

    def test_a_broken_config_is_an_error_that_names_file_and_line(self):
        broken = self.world.path("home/.config/zswarm/config")
        for text in ("broker = tcp://127.0.0.1:1\nnonsense\n", "broker = tcp://127.0.0.1:1\nno-such-option = 1\n"):
            broken.write_text(text)
            result = self.world.run("zsearch", "x")
            self.assert_exit(result, 2)
            self.assertIn("zswarm/config:2", result.stderr)

    def test_a_missing_broker_is_an_error_that_names_it(self):
        broker = self.world.dead_endpoint()
        for program, args in TOOLS.items():
            result = self.world.run(program, "--broker", broker, "--timeout", "1", *args)
            self.assert_exit(result, 2)
            self.assertIn(broker.removeprefix("tcp://"), result.stderr, program)

    def test_a_port_in_use_is_an_error_that_names_it(self):
        broker = self.world.broker()
        for command in (["zbroker", "--listen", broker.endpoint], ["zbroker", str(broker.port)]):
            result = self.world.run(*command)
            self.assert_exit(result, 2)
            self.assertIn(str(broker.port), result.stderr)
        result = self.world.run("znode", "--no-broker", "--share", self.world.share("s", {}), "--port", broker.port,
                                "--bind", "127.0.0.1", "--state", self.world.path("state", "x"))
        self.assert_exit(result, 2)
        self.assertIn(str(broker.port), result.stderr)

    def test_an_unreadable_share_is_an_error_that_names_it(self):
        result = self.world.run("znode", "--no-broker", "--share", self.world.folder / "nothing-here", "--port", 0,
                                "--state", self.world.path("state", "x"))
        self.assert_exit(result, 2)
        self.assertIn("nothing-here", result.stderr)

    def test_two_endpoints_make_two_ready_lines(self):
        broker = self.world.start("zbroker", "--listen", "tcp://127.0.0.1:*", "--listen", "tcp://[::1]:*")
        broker.wait_stdout(r"^ready tcp://127\.0\.0\.1:\d+$")
        endpoint = broker.wait_stdout(r"^ready (tcp://\[::1\]:\d+)$").group(1)
        self.assert_exit(self.world.run("zsearch", "--broker", endpoint, "x"), 1)


class Ending(EndToEnd):
    def test_sigterm_and_sigint_end_broker_and_node_with_0_in_time(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            broker = self.world.broker()
            node = self.world.node(f"node{number}", broker, self.world.share("share", {"a": b"a"}))
            for process in (node, broker):
                process.signal(number)
                self.assertEqual(process.wait(STOP_S), 0, f"\n{process}")

    def test_a_node_that_ends_says_bye_and_counts_no_more(self):
        broker = self.world.broker()
        node = self.world.node("node", broker, self.world.share("share", {"a": b"a"}))
        self.world.wait_found(broker, "a")
        node.terminate()
        self.world.wait_gone(broker, "node")
        with BrokerClient(broker.endpoint) as client:
            _, done = client.search(matching.WORDS, "a")
            self.assertEqual((done.asked, done.silent), (0, 0))

    def test_a_fake_broker_hears_bye(self):
        broker = self.world.fake(FakeBroker())
        node = self.world.node("node", broker, self.world.share("share", {"a": b"a"}))
        node.terminate()
        broker.wait_seen(zsp.BYE)

    def test_a_broker_that_ends_says_bye_to_its_nodes(self):
        broker = self.world.broker()
        node = self.world.fake(FakeNode([], broker.endpoint))
        broker.terminate()
        node.wait_seen(zsp.BYE)

    def test_nothing_gets_the_place_of_a_closed_standard_stream(self):
        closing = ("sh", "-c", 'exec "$@" <&- 2>&-', "sh")
        node = self.world.node("node", None, self.world.share("share", {"a": b"a"}), prefix=closing)
        for fd in (0, 2):
            self.assertEqual(os.readlink(f"/proc/{node.pid}/fd/{fd}"), "/dev/null")

    def test_twice_the_same_state_folder_is_refused(self):
        share = self.world.share("share", {"a": b"a"})
        self.world.node("node", None, share)
        second = self.world.run("znode", "--no-broker", "--share", share, "--name", "node", "--port", 0, "--state",
                                self.world.path("state", "node"))
        self.assert_exit(second, 2)


class Restarts(EndToEnd):
    def test_nodes_come_back_to_a_restarted_broker(self):
        broker = self.world.broker()
        share = self.world.share("share", {"a": b"a"})
        node = self.world.node("node", broker, share)
        fresh = broker.endpoint
        self.world.wait_found(broker, "a")
        for end in ("kill", "terminate"):
            getattr(broker, end)()
            broker = self.world.broker(listen=fresh)
            self.world.wait_found(broker, "a")
        with BrokerClient(broker.endpoint) as client:
            self.assertEqual([peer[0].node_id.hex() for peer in client.peers()], [node.node_id])

    def test_a_node_starts_before_its_broker_and_serves_without_it(self):
        endpoint = self.world.dead_endpoint()
        data = random_bytes(100000)
        node = self.world.node("node", endpoint, self.world.share("share", {"a.bin": data}), wait=False,
                               args=("--bind", "127.0.0.1"))
        node.wait_stderr(endpoint.removeprefix("tcp://"))
        self.assertTrue(node.running)
        broker = self.world.broker(listen=endpoint)
        self.world.wait_node(node)
        self.world.wait_found(broker, "a.bin")
        broker.kill()
        target = self.world.path("out")
        self.assert_exit(self.world.run("zget", "--from", node.endpoint, "-d", target, "a.bin"), 0)
        self.assertTrue((target / "a.bin").read_bytes() == data)

    def test_a_node_without_a_broker_serves(self):
        data = random_bytes(100000)
        node = self.world.node("node", None, self.world.share("share", {"a.bin": data}))
        self.world.wait_shared(node, "a.bin")
        with PeerClient(node.endpoint) as client:
            client.hello(bytes.fromhex(node.node_id))
            self.assertEqual(client.fetch(zsp.tree.id_of(data)), data)

    def test_a_restarted_node_has_the_same_id_and_port(self):
        share = self.world.share("share", {"a": b"a"})
        first = self.world.node("node", None, share)
        first.terminate()
        second = self.world.node("node", None, share)
        self.assertEqual(first.node_id, second.node_id)

    def test_a_killed_node_leaves_its_lock_free_and_its_cache_whole(self):
        share = self.world.share("share", {f"f{i}": random_bytes(1000, i + 1) for i in range(50)})
        first = self.world.node("node", None, share)
        self.world.wait_shared(first, "f0", "f49")
        first.kill()
        second = self.world.node("node", None, share)
        self.world.wait_shared(second, "f0", "f49")

    def test_changes_of_a_share_are_seen_and_told(self):
        broker = self.world.broker()
        share = self.world.share("share", {"old.txt": b"old"})
        self.world.node("node", broker, share)
        self.world.wait_found(broker, "old.txt")
        (share / "new.txt").write_bytes(b"new")
        (share / "old.txt").unlink()
        self.world.wait_found(broker, "new.txt")
        with BrokerClient(broker.endpoint) as client:
            wait_until(lambda: client.names(0, "txt") == ["new.txt"], "the old name to go")
            wait_until(lambda: [peer[1:3] for peer in client.peers()] == [[1, 3]], "the totals to follow")

    def test_a_damaged_cache_costs_hashing_and_nothing_else(self):
        share = self.world.share("share", {"a": b"a"})
        first = self.world.node("node", None, share)
        self.world.wait_shared(first, "a")
        first.terminate()
        for path in self.world.path("state", "node").rglob("*"):
            if path.is_file() and path.read_bytes()[:6] == b"SQLite":
                path.write_bytes(b"garbage" * 1000)
        second = self.world.node("node", None, share)
        self.world.wait_shared(second, "a")


if __name__ == "__main__":
    unittest.main()
