# SPDX-License-Identifier: MIT
"""A znode that takes pushes, against pushers from another hand.

What could go wrong: a push fills the disk, writes outside the share or over another file; chunks are asked
twice, or of who does not offer them; a liar's bytes reach the share, or his silence holds up the others; what
was saved is told too early, twice, to the wrong OFFER or after STORED; what was interrupted begins anew.
"""

import os
import subprocess

from support import zsp
from support.actor import wait_until
from support.case import EndToEnd, random_bytes
from support.fake_broker import FakeBroker
from support.fake_client import BrokerClient, PeerClient
from support.processes import STOP_S
from support.pusher import (MutePusher, Pusher, RefusingPusher, StoppingPusher, UnaskedDataPusher, WINDOW_BYTES,
                            WrongBytesPusher, WrongHashesPusher, WrongRangePusher, serve_all)
from support.zsp import SharedFile

CHUNK = 1 << 16


class Pushes(EndToEnd):
    def setUp(self):
        super().setUp()
        self.pushers = []
        self.addCleanup(lambda: [pusher.close() for pusher in self.pushers])

    def receiver(self, *args, files=None, **options):
        self.share = self.world.share("share", files or {})
        return self.world.node("receiver", share=self.share, args=["--accept-push", *args], **options)

    def pusher(self, node, kind=Pusher, address=None):
        """From another address of this machine when one is given."""
        endpoint = f"tcp://{address}:0;{node.endpoint.removeprefix('tcp://')}" if address else node.endpoint
        self.pushers.append(kind(endpoint))
        return self.pushers[-1]

    def assert_refused(self, pusher, shared, code, **changes):
        offer = pusher.offer(shared, file=shared.file(**changes) if changes else None)
        pusher.serve(lambda: offer.is_over, "the refusal")
        self.assertEqual(offer.error and offer.error.code, code)

    def assert_stored(self, offer, name):
        self.assertIsNone(offer.error)
        self.assertEqual(offer.stored, name)
        self.assertEqual((self.share / name).read_bytes(), offer.shared.data)

    def visible(self):
        """Files of the share, partial ones aside."""
        return sorted(str(path.relative_to(self.share)) for path in self.share.rglob("*")
                      if path.is_file() and not path.relative_to(self.share).parts[0].startswith("."))

    def visible_folders(self):
        return sorted(str(path.relative_to(self.share)) for path in self.share.rglob("*")
                      if path.is_dir() and path.name != ".zswarm")


class Whole(Pushes):
    def test_a_file_comes_whole_and_every_chunk_is_told_once_before_stored(self):
        shared = SharedFile("new.bin", random_bytes(40 * CHUNK + 17))
        pusher = self.pusher(self.receiver())
        self.assertTrue(pusher.features & 1)
        offer = pusher.push(shared)
        self.assertEqual(offer.missing, 41)
        self.assertEqual(sorted(offer.told), list(range(41)))
        self.assertEqual(offer.asked_bytes, len(shared.data))
        self.assert_stored(offer, "new.bin")

    def test_a_file_of_one_chunk_needs_no_hashes(self):
        offer = self.pusher(self.receiver(), WrongHashesPusher).push(SharedFile("one.bin", b"one"))
        self.assertEqual((offer.missing, offer.told), (1, [0]))
        self.assert_stored(offer, "one.bin")

    def test_the_path_of_the_name_is_kept_below_the_share(self):
        offer = self.pusher(self.receiver()).push(SharedFile("a/b c/ü.bin", b"deep"))
        self.assert_stored(offer, "a/b c/ü.bin")

    def test_an_empty_file_is_stored_at_once(self):
        pusher = self.pusher(self.receiver(files={"taken": b"x"}))
        for name, stored in (("d/empty", "d/empty"), ("other", "d/empty")):
            offer = pusher.push(SharedFile(name, b""))
            self.assertEqual((offer.missing, offer.told), (0, []))
            self.assert_stored(offer, stored)
            self.world.wait_shared(self.world.processes[0], "d/empty")

    def test_an_empty_file_does_not_take_the_name_of_another(self):
        offer = self.pusher(self.receiver(files={"taken": b"x"})).push(SharedFile("taken", b""))
        self.assert_stored(offer, "taken (2)")
        self.assertEqual((self.share / "taken").read_bytes(), b"x")

    def test_a_file_that_is_there_is_stored_at_once_under_its_name(self):
        node = self.receiver(files={"d/old.bin": random_bytes(3 * CHUNK)})
        self.world.wait_shared(node, "d/old.bin")
        offer = self.pusher(node).push(SharedFile("new.bin", random_bytes(3 * CHUNK)))
        self.assertEqual((offer.missing, offer.told, offer.asked), (0, [], []))
        self.assert_stored(offer, "d/old.bin")
        self.assertEqual(self.visible(), ["d/old.bin"])

    def test_who_brings_nothing_leaves_no_folder(self):
        pusher = self.pusher(self.receiver(), MutePusher)
        offer = pusher.offer(SharedFile("a/b/c.bin", b"never"))
        pusher.serve(lambda: offer.asked, "a READ")
        self.assertEqual(self.visible_folders(), [])
        pusher.withdraw(offer)
        self.assert_stored(self.pusher(self.world.processes[0]).push(SharedFile("a/d/e.bin", b"here")), "a/d/e.bin")
        self.assertEqual(self.visible_folders(), ["a", "a/d"])

    def test_what_can_never_land_is_told_its_owner_once_and_not_listed(self):
        node = self.receiver(files={"own.bin": b"own"}, stdin=subprocess.PIPE)
        pusher = self.pusher(node)
        for i in range(20):
            offer = pusher.push(SharedFile(f"own.bin/{i}", b"%d" % i))
            self.assertEqual(offer.error.code, zsp.INTERNAL)
        node.popen.stdin.write(b"downloads\nhelp\nquit\n")
        node.popen.stdin.flush()
        self.assertEqual(node.wait(), 0)
        self.assertEqual([line for line in node.stdout.lines if "own.bin/" in line], [])
        self.assertIn("quit", node.stdout.text)
        self.assertEqual(sum("own.bin/" in line for line in node.stderr.lines), 1)

    def test_a_name_that_another_file_has_gets_a_number(self):
        pusher = self.pusher(self.receiver(files={"d/x.tar": b"mine"}))
        for data, name in ((b"one", "d/x (2).tar"), (b"two!", "d/x (3).tar")):
            self.assert_stored(pusher.push(SharedFile("d/x.tar", data)), name)
        self.assertEqual((self.share / "d/x.tar").read_bytes(), b"mine")

    def test_a_number_fits_into_the_longest_name(self):
        pusher = self.pusher(self.receiver())
        for size in (3 * CHUNK, 0):
            entry = "é" * 125 + "x.bin" if size else "e" * 255
            for i in range(3 if size else 1):
                offer = pusher.push(SharedFile(f"d/{entry}", random_bytes(size, seed=i + 1)))
                self.assert_stored(offer, ["d/" + entry, f"d/{'é' * 123} (2).bin", f"d/{'é' * 123} (3).bin"][i])

    def test_a_name_that_no_number_fits_into_is_an_error_of_that_push(self):
        pusher = self.pusher(self.receiver())
        longest = "d/" * 511 + "xy"
        self.assert_stored(pusher.push(SharedFile(longest, b"first")), longest)
        for data in (b"second", b""):
            self.assertEqual(pusher.push(SharedFile(longest, data)).error.code, zsp.INTERNAL)
        self.assert_stored(pusher.push(SharedFile("more", b"third")), "more")

    def test_it_is_served_and_found_soon_after(self):
        broker = self.world.broker()
        node = self.receiver(broker=broker)
        shared = SharedFile("found.bin", random_bytes(5 * CHUNK))
        self.assert_stored(self.pusher(node).push(shared), "found.bin")
        with BrokerClient(broker.endpoint) as client:
            wait_until(lambda: client.names(3, shared.file_id.hex()) == ["found.bin"], "a search to find it")
        with PeerClient(node.endpoint) as client:
            client.hello()
            self.assertEqual(client.fetch(shared.file_id), shared.data)

    def test_twenty_offers_at_once_on_one_link_beside_requests(self):
        node = self.receiver(files={"own.bin": b"own"})
        pusher = self.pusher(node)
        offers = [pusher.offer(SharedFile(f"f{i}", random_bytes(4 * CHUNK, seed=i + 1))) for i in range(20)]
        pusher.serve(lambda: all(offer.is_over for offer in offers), "all of them")
        for i, offer in enumerate(offers):
            self.assert_stored(offer, f"f{i}")
        self.world.wait_shared(node, "own.bin", "f19")
        self.assertEqual(pusher.read(SharedFile("", b"own").file_id, 0, 3), b"own")


class Together(Pushes):
    def test_partial_pushers_that_together_have_all_fill_one_file(self):
        node = self.receiver()
        shared = SharedFile("both.bin", random_bytes(60 * CHUNK))
        one, two = self.pusher(node), self.pusher(node)
        offers = [one.offer(shared, range(0, 35)), two.offer(shared, range(25, 60))]
        serve_all([one, two], lambda: all(offer.is_over for offer in offers), "both halves")
        for offer in offers:
            self.assertEqual(sorted(set(offer.told)), sorted(offer.told))
            self.assertEqual(len(offer.told), offer.missing)  # whoever delivered it
            self.assert_stored(offer, "both.bin")
        self.assertLessEqual(one.sent_bytes + two.sent_bytes, 1.05 * len(shared.data))

    def test_a_pusher_that_comes_later_is_told_only_what_is_saved_from_then_on(self):
        node = self.receiver()
        shared = SharedFile("later.bin", random_bytes(20 * CHUNK))
        one, two = self.pusher(node), self.pusher(node)
        first = one.offer(shared, range(0, 10))
        one.serve(lambda: len(first.told) == 10, "the first half")
        second = two.offer(shared, range(10, 20))
        serve_all([one, two], lambda: first.is_over and second.is_over, "the second half")
        self.assertEqual((second.missing, sorted(second.told)), (10, list(range(10, 20))))
        self.assertEqual(sorted(first.told), list(range(20)))
        self.assert_stored(second, "later.bin")

    def test_a_pusher_and_an_ordinary_source_fill_one_file(self):
        broker = self.world.broker()
        shared = SharedFile("mixed.bin", random_bytes(40 * CHUNK))
        source = self.world.node("source", broker, self.world.share("other", {"mixed.bin": shared.data}))
        self.world.wait_found(broker, "mixed.bin")
        pusher = self.pusher(self.receiver(broker=broker))
        offer = pusher.offer(shared, [0])
        pusher.serve(lambda: offer.is_over, "the rest from the source")
        self.assertEqual(sorted(offer.told), list(range(40)))
        self.assert_stored(offer, "mixed.bin")
        self.assertTrue(source.running)


class Liars(Pushes):
    def test_wrong_bytes_hashes_and_ranges_end_the_offer_and_others_fill_the_file(self):
        node = self.receiver()
        for i, kind in enumerate((WrongBytesPusher, WrongHashesPusher, WrongRangePusher)):
            shared = SharedFile(f"wrong{i}.bin", random_bytes(10 * CHUNK, seed=i + 1))
            liar = self.pusher(node, kind)
            bad = liar.offer(shared)
            liar.serve(lambda: bad.is_over, f"the end of {kind.__name__}")
            self.assertEqual(bad.error.code, zsp.BAD_MESSAGE, kind.__name__)
            self.assertEqual(bad.told, [])
            good = self.pusher(node).push(shared)
            self.assertEqual(good.missing, 10)
            self.assert_stored(good, shared.name)

    def test_an_error_in_answer_to_a_read_ends_the_offer(self):
        pusher = self.pusher(self.receiver(), RefusingPusher)
        offer = pusher.push(SharedFile("refused.bin", random_bytes(CHUNK * 3)))
        self.assertIsNotNone(offer.error)

    def test_data_that_nobody_asked_for_is_dropped(self):
        node = self.receiver()
        shared = SharedFile("unasked.bin", random_bytes(20 * CHUNK))
        offer = self.pusher(node, UnaskedDataPusher).push(shared)
        self.assert_stored(offer, "unasked.bin")
        stranger = PeerClient(node.endpoint)
        self.addCleanup(stranger.close)
        stranger.hello()
        stranger.send_raw(zsp.encode(zsp.DATA, 5, shared.file_id, 0, 10), bytes(10))
        stranger.ping()

    def test_a_silent_pusher_is_dropped_after_ten_seconds_and_asked_for_little(self):
        node = self.receiver()
        shared = SharedFile("silent.bin", random_bytes(600 * CHUNK))
        mute = self.pusher(node, MutePusher)
        offer = mute.offer(shared)
        mute.serve(lambda: offer.is_over, "being dropped")
        self.assertEqual(offer.error.code, zsp.LIMIT)
        self.assertLessEqual(offer.asked_bytes, WINDOW_BYTES)
        self.assert_stored(self.pusher(node).push(shared), "silent.bin")

    def test_a_silent_pusher_holds_up_nobody_else(self):
        node = self.receiver()
        shared = SharedFile("shared.bin", random_bytes(100 * CHUNK))
        mute, honest = self.pusher(node, MutePusher), self.pusher(node)
        bad = mute.offer(shared)
        mute.serve(lambda: bad.asked, "the first READ")
        good = honest.offer(shared)
        serve_all([mute, honest], lambda: good.is_over, "the honest one")
        self.assert_stored(good, "shared.bin")

    def test_offers_that_are_not_what_they_should_be(self):
        pusher = self.pusher(self.receiver())
        shared = SharedFile("x.bin", random_bytes(5 * CHUNK))
        for log2, have in ((17, None), (16, b""), (16, b"\xff"), (16, b"\xf8\0")):
            rid = pusher.send(zsp.OFFER, shared.file(), log2, have)
            self.assertEqual(pusher.reply(rid, zsp.ERROR).code, zsp.BAD_MESSAGE)
        for changes in ({"size": 17}, {"have_permille": 1001}, {"file_id": bytes(32)}):
            self.assert_refused(pusher, shared, zsp.BAD_MESSAGE, **changes)
        self.assert_stored(pusher.push(shared), "x.bin")


class Names(Pushes):
    def test_hidden_names_are_denied_and_invalid_ones_bad_messages(self):
        pusher = self.pusher(self.receiver())
        shared = SharedFile("", b"evil")
        for name in (".ssh", ".zswarm/x", "a/.b/c", "a/..c", "x" * 256):
            self.assert_refused(pusher, shared, zsp.DENIED, name=name)
        for name in ("../x", "/x", "a/../../x", "a//b", "", "a/", "."):
            self.assert_refused(pusher, shared, zsp.BAD_MESSAGE, name=name)
        self.assertEqual(self.visible(), [])

    def test_a_symlink_in_the_share_leads_nowhere(self):
        node = self.receiver()
        outside = self.world.path("outside")
        outside.mkdir()
        os.symlink(outside, self.share / "link")
        pusher = self.pusher(node)
        for data in (b"evil", b""):
            offer = pusher.push(SharedFile("link/x", data))
            self.assertIsNotNone(offer.error)
        self.assertEqual(list(outside.iterdir()), [])

    def test_a_file_in_the_place_of_a_folder_is_not_touched(self):
        offer = self.pusher(self.receiver(files={"a": b"file"})).push(SharedFile("a/b", b"x"))
        self.assertIsNotNone(offer.error)
        self.assertEqual((self.share / "a").read_bytes(), b"file")


class Limits(Pushes):
    def test_without_the_option_pushes_are_denied(self):
        node = self.world.node("closed", share=self.world.share("share", {}))
        pusher = self.pusher(node)
        self.assertFalse(pusher.features & 1)
        self.assert_refused(pusher, SharedFile("x", b"x"), zsp.DENIED)

    def test_the_quota_counts_what_landed_and_what_is_unfinished(self):
        node = self.receiver("--push-quota", "1M")
        pusher = self.pusher(node)
        self.assert_refused(pusher, SharedFile("large", bytes(1 << 20) + b"x"), zsp.NO_SPACE)
        self.assert_stored(pusher.push(SharedFile("half", random_bytes(1 << 19))), "half")
        mute = self.pusher(node, MutePusher)
        waiting = mute.offer(SharedFile("waits", random_bytes(3 * CHUNK, seed=2)))
        mute.serve(lambda: waiting.asked, "a READ")
        self.assert_refused(pusher, SharedFile("more", random_bytes(6 * CHUNK, seed=3)), zsp.NO_SPACE)
        self.assert_stored(pusher.push(SharedFile("fits", random_bytes(5 * CHUNK, seed=4))), "fits")

    def test_the_quota_holds_over_a_restart_and_what_its_owner_takes_away_frees_it(self):
        node = self.receiver("--push-quota", "1M")
        large = SharedFile("d/large", random_bytes(3 << 18))
        self.assert_stored(self.pusher(node).push(large), "d/large")
        self.assertEqual(node.terminate()[0], 0)
        node = self.receiver("--push-quota", "1M")
        self.world.wait_shared(node, "d/large")
        more = SharedFile("more", random_bytes(1 << 19, seed=2))
        self.assert_refused(self.pusher(node), more, zsp.NO_SPACE)
        (self.share / "d/large").rename(self.share / "kept")  # it still takes room
        self.world.wait_shared(node, "kept")
        self.assert_refused(self.pusher(node), more, zsp.NO_SPACE)
        (self.share / "kept").rename(self.world.path("elsewhere"))
        pusher = self.pusher(node)
        wait_until(lambda: "kept" not in {file.name for file in pusher.list()}, "the share to see that")
        self.assert_stored(pusher.push(more), "more")
        self.assertEqual(node.terminate()[0], 0)
        node = self.receiver("--push-quota", "1M")
        self.world.wait_shared(node, "more")
        self.assert_refused(self.pusher(node), large, zsp.NO_SPACE)

    def test_offers_of_which_nothing_came_before_a_kill_are_forgotten(self):
        node = self.receiver("--push-quota", "1M", stdin=subprocess.PIPE)
        mute = self.pusher(node, MutePusher)
        offer = mute.offer(SharedFile("nothing", random_bytes(1 << 19)))
        mute.serve(lambda: offer.asked, "a READ")
        kept = self.world.path("state", "receiver") / "downloads"
        wait_until(lambda: kept.exists() and b"pushed" in kept.read_bytes(), "the list")
        node.kill()
        node = self.receiver("--push-quota", "1M")
        wait_until(lambda: b"pushed" not in kept.read_bytes(), "the push to be forgotten")

    def test_what_nobody_offers_any_more_and_nothing_came_of_costs_nothing(self):
        node = self.receiver("--push-quota", "1M")
        for i in range(5):
            mute = self.pusher(node, MutePusher)
            offer = mute.offer(SharedFile(f"f{i}", random_bytes(1 << 20, seed=i + 1)))
            mute.serve(lambda: offer.asked, "a READ")
            mute.bye()
        wait_until(lambda: not list((self.share / ".zswarm").glob(".*.zpart")), "the partial files to go")

    def test_a_session_offers_so_many_at_a_time(self):
        node = self.receiver()
        mute = self.pusher(node, MutePusher)
        offers = [mute.offer(SharedFile(f"f{i}", b"x" * (i + 1))) for i in range(65)]
        mute.serve(lambda: all(o.missing is not None or o.error for o in offers), "an answer to each")
        self.assertEqual([o.error.code for o in offers if o.error], [zsp.BUSY])
        self.assertGreater(offers[64].error.retry_ms, 0)

    def test_mute_pushers_do_not_keep_the_slots(self):
        node = self.receiver()
        mute = self.pusher(node, MutePusher)
        bad = [mute.offer(SharedFile(f"f{i}", random_bytes(CHUNK, seed=i + 2))) for i in range(4)]
        mute.serve(lambda: sum(1 for offer in bad if offer.asked) >= 3, "the slots to be taken")
        honest = self.pusher(node)
        good = honest.offer(SharedFile("good", random_bytes(CHUNK)))
        serve_all([mute, honest], lambda: good.is_over, "the honest one")
        self.assert_stored(good, "good")

    def test_many_mute_offers_hold_up_another_address_for_one_round_and_then_are_limited(self):
        node = self.receiver()
        mutes = [self.pusher(node, MutePusher), self.pusher(node, MutePusher)]
        bad = [mute.offer(SharedFile(f"f{i}/{k}", b"%d %d" % (i, k))) for i, mute in enumerate(mutes) for k in range(64)]
        serve_all(mutes, lambda: sum(bool(offer.asked) for offer in bad) == 3, "the slots to be taken")
        honest = self.pusher(node, address="127.0.0.2")
        good = honest.offer(SharedFile("good", random_bytes(CHUNK)))
        serve_all([*mutes, honest], lambda: good.is_over, "the honest one")
        self.assert_stored(good, "good")
        self.assertLessEqual(sum(bool(offer.asked) for offer in bad), 6)  # a round is three
        serve_all(mutes, lambda: sum(offer.is_over for offer in bad) >= 128 - 7, "all but a few to be refused")
        self.assertLessEqual({offer.error.code for offer in bad if offer.is_over}, {zsp.LIMIT, zsp.BUSY})
        self.assert_refused(self.pusher(node, MutePusher), SharedFile("more", b"more"), zsp.BUSY)
        self.assert_stored(self.pusher(node, address="127.0.0.2").push(SharedFile("more", b"more")), "more")

    def test_slow_pushes_of_one_address_leave_a_slot_to_another(self):
        node = self.receiver()
        slow = self.pusher(node, StoppingPusher)
        held = [slow.offer(SharedFile(f"f{i}", random_bytes(100 * CHUNK, seed=i + 2))) for i in range(3)]
        slow.serve(lambda: all(offer.asked for offer in held), "the slots to be taken")  # it answers the first of them
        honest = self.pusher(node, address="127.0.0.2")
        good = honest.offer(SharedFile("good", random_bytes(CHUNK)))
        serve_all([slow, honest], lambda: good.is_over, "the honest one")
        self.assert_stored(good, "good")


class SmallDisk(Pushes):
    def setUp(self):
        super().setUp()
        self.disk = self.world.path("share")
        self.disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=8m,nr_inodes=200", "tmpfs", str(self.disk)]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
            self.skip_loudly("a small disk needs root and mount")
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)

    def test_small_files_leave_some_of_its_entries(self):
        pusher = self.pusher(self.receiver())
        offers = [pusher.push(SharedFile(f"d{i}/{i}", b"%d" % i)) for i in range(120)]
        self.assertEqual(offers[-1].error and offers[-1].error.code, zsp.NO_SPACE)
        self.assertGreater(os.statvfs(self.disk).f_favail, 5)

    def test_what_does_not_fit_or_would_take_the_last_of_the_disk_has_no_space(self):
        pusher = self.pusher(self.receiver())
        self.assert_refused(pusher, SharedFile("large", bytes(9 << 20)), zsp.NO_SPACE)
        self.assert_refused(pusher, SharedFile("all", bytes((8 << 20) - CHUNK)), zsp.NO_SPACE)
        self.assert_stored(pusher.push(SharedFile("fits", random_bytes(4 << 20))), "fits")
        self.assert_refused(pusher, SharedFile("more", random_bytes(4 << 20, seed=2)), zsp.NO_SPACE)

    def test_a_disk_that_fills_up_meanwhile_ends_the_offer_and_the_next_one_goes_on(self):
        node = self.receiver()
        shared = SharedFile("later", random_bytes(5 << 20))
        half = self.pusher(node)
        first = half.offer(shared, range(20))
        half.serve(lambda: len(first.told) == 20, "the first chunks")
        fill = self.disk / "fill"
        try:
            fill.write_bytes(bytes(8 << 20))
        except OSError:
            pass  # as far as it goes
        rest = self.pusher(node)
        second = rest.offer(shared, range(20, 80))
        serve_all([rest, half], lambda: second.is_over, "the ERROR")
        self.assertEqual(second.error.code, zsp.NO_SPACE)
        fill.unlink()
        self.assert_stored(self.pusher(node).push(shared), "later")


class Owners(Pushes):
    """Whose node it is has the last word."""

    def begin(self):
        self.node = self.receiver(stdin=subprocess.PIPE)
        self.shared = SharedFile("film.mkv", random_bytes(100 * CHUNK))
        self.mute = self.pusher(self.node, MutePusher)
        offer = self.mute.offer(self.shared)
        self.mute.serve(lambda: offer.asked, "a READ")
        return offer

    def command(self, line):
        self.node.popen.stdin.write(line.encode() + b"\n")
        self.node.popen.stdin.flush()

    def test_what_is_taken_off_the_list_is_denied(self):
        offer = self.begin()
        self.command("cancel 1")
        self.mute.serve(lambda: offer.is_over, "the ERROR")
        self.assertEqual(offer.error.code, zsp.DENIED)
        self.assert_stored(self.pusher(self.node).push(self.shared), "film.mkv")

    def test_what_is_paused_is_busy_and_goes_on_when_it_is_resumed(self):
        first = self.begin()
        self.command("pause 1")
        self.command("downloads")
        self.node.wait_stdout("^ *1 +paused ")
        busy = self.pusher(self.node).push(self.shared)
        self.assertEqual(busy.error and busy.error.code, zsp.BUSY)
        self.assertGreater(busy.error.retry_ms, 0)
        self.command("resume 1")
        asked_count = len(first.asked)
        self.mute.serve(lambda: len(first.asked) > asked_count, "the pusher that waited to be asked again")

    def test_a_push_that_was_paused_is_still_one_after_a_restart(self):
        node = self.receiver(stdin=subprocess.PIPE)
        shared = SharedFile("a/film.mkv", random_bytes(100 * CHUNK))
        half = self.pusher(node)
        first = half.offer(shared, range(50))
        half.serve(lambda: len(first.told) == 50, "the first half")
        self.node = node
        self.command("pause 1")
        node.wait_stderr("download 1 paused")
        self.assertEqual(node.terminate()[0], 0)
        self.node = node = self.receiver("--push-quota", "1M", stdin=subprocess.PIPE)
        self.command("resume 1")
        self.command("downloads")
        node.wait_stdout(r"1 +waiting")  # nobody offers it
        rest = self.pusher(node)
        self.assert_refused(rest, shared, zsp.NO_SPACE)
        self.assertEqual(node.terminate()[0], 0)
        offer = self.pusher(self.receiver()).push(shared)
        self.assertEqual(offer.missing, 50)
        self.assert_stored(offer, "a/film.mkv")

    def test_the_broker_is_told_that_pushes_are_accepted(self):
        broker = FakeBroker()
        self.world.fake(broker)
        self.receiver(broker=broker.endpoint, wait=False)
        self.assertTrue(broker.wait_seen(zsp.JOIN).message.features & 1)

    def test_with_a_home_pushes_land_in_its_download_folder(self):
        home = self.world.path("home folder")
        node = self.world.node("receiver", args=["--accept-push", "--home", home])
        offer = self.pusher(node).push(SharedFile("a/x", b"one"))
        self.assertEqual(offer.stored, "a/x")
        self.assertEqual((home / "Download/a/x").read_bytes(), b"one")
        self.world.wait_shared(node, "a/x")


class Ends(Pushes):
    def test_close_withdraws_the_offer(self):
        node = self.receiver()
        shared = SharedFile("closed.bin", random_bytes(100 * CHUNK))
        one, two = self.pusher(node, StoppingPusher), self.pusher(node)
        first = one.offer(shared)
        one.serve(lambda: first.told, "the first chunks")
        one.withdraw(first)
        one.ping()
        asked_count = len(first.asked)
        second = two.offer(shared)
        serve_all([two, one], lambda: second.is_over, "the other one")
        self.assertEqual(len(first.asked), asked_count)
        self.assertEqual((first.stored, first.error), (None, None))
        self.assertLess(second.missing, 100)
        self.assert_stored(second, "closed.bin")

    def test_bye_and_a_lost_connection_leave_what_is_saved_for_the_next(self):
        node = self.receiver()
        for is_polite in (True, False):
            shared = SharedFile(f"left{is_polite}.bin", random_bytes(100 * CHUNK, seed=1 + is_polite))
            one = self.pusher(node, StoppingPusher)
            first = one.offer(shared)
            one.serve(lambda: first.told, "the first chunks")
            if is_polite:
                one.bye()
            else:
                one.socket.close(0)
            second = self.pusher(node).push(shared)
            self.assertLess(second.missing, 100)
            self.assertEqual(len(second.told), second.missing)
            self.assert_stored(second, shared.name)

    def test_a_second_offer_takes_the_place_of_the_first(self):
        pusher = self.pusher(self.receiver())
        shared = SharedFile("twice.bin", random_bytes(40 * CHUNK))
        first = pusher.offer(shared, range(10))
        pusher.serve(lambda: len(first.told) == 10, "the first chunks")
        second = pusher.offer(shared)
        pusher.serve(lambda: second.is_over, "the second")
        self.assertEqual((first.stored, first.error, len(first.told)), (None, None, 10))
        self.assertEqual((second.missing, sorted(second.told)), (30, list(range(10, 40))))
        self.assert_stored(second, "twice.bin")

    def test_a_receiver_that_was_killed_goes_on_where_it_was(self):
        node = self.receiver()
        shared = SharedFile("killed.bin", random_bytes(200 * CHUNK))
        half = self.pusher(node)
        first = half.offer(shared, range(100))
        half.serve(lambda: len(first.told) == 100, "the first half")
        node.kill()
        node = self.receiver()
        hasty = self.pusher(node)  # who goes at once takes nothing with him
        hasty.offer(shared)
        hasty.bye()
        second = self.pusher(node).push(shared)
        self.assertEqual((second.missing, sorted(second.told)), (100, list(range(100, 200))))
        self.assertLessEqual(second.asked_bytes, 101 * CHUNK)  # the first READ may fall with the run that was hasty's
        self.assert_stored(second, "killed.bin")

    def test_a_receiver_that_stops_says_bye(self):
        node = self.receiver()
        mute = self.pusher(node, MutePusher)
        offer = mute.offer(SharedFile("bye.bin", random_bytes(5 * CHUNK)))
        mute.serve(lambda: offer.asked, "a READ")
        code, seconds = node.terminate()
        self.assertEqual(code, 0)
        self.assertLess(seconds, STOP_S)
        wait_until(lambda: getattr(mute.receive(0), "kind", None) == zsp.BYE, "BYE")


class OurPusher(Pushes):
    def test_two_zput_with_halves_send_hardly_more_than_the_file(self):
        node = self.receiver()
        data = random_bytes(500 * CHUNK)
        self.world.path("big.bin").write_bytes(data)
        processes = [self.world.start("zput", "--to", node.endpoint, "--json", "--chunks", chunks, "big.bin")
                     for chunks in ("0-249", "250-499")]
        for process in processes:
            self.assertEqual(process.wait(), 0, process)
        wait_until(lambda: (self.share / "big.bin").exists(), "the file")
        self.assertEqual((self.share / "big.bin").read_bytes(), data)
        sent = sum(o["sent"] for process in processes for o in process.objects() if o["event"] == "push")
        self.assertLessEqual(sent, 1.05 * len(data))
