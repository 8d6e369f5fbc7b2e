# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the harness: parsing and arithmetic, and a QMP client against a real socket.

run: python3 -m unittest discover -s bench/harness/tests -t bench
"""
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

from harness import console, cpu, environment, memory, migrate, process, qmp, trace, warm
from harness.process import HarnessError

SOURCE_LOG = """2026-11-22T07:00:00.000000Z qemu-system-x86_64: warning: something else
412@1763795184.000100:migrate_set_state new state active
412@1763795186.500000:vmstate_downtime_checkpoint src-downtime-start
412@1763795186.500200:vmstate_downtime_checkpoint src-vm-stopped
412@1763795186.700000:vmstate_downtime_checkpoint src-downtime-end
"""
DEST_LOG = """77@1763795186.690000:vmstate_downtime_checkpoint dst-precopy-loadvm-completed
77@1763795186.701500:vmstate_downtime_checkpoint dst-precopy-bh-vm-started
half a line 77@17637
"""


class Trace(unittest.TestCase):
    def test_blackout_is_first_step_to_start(self):
        self.assertAlmostEqual(trace.blackout(trace.parse(SOURCE_LOG), trace.parse(DEST_LOG)), 201.5, places=2)

    def test_missing_end_is_none_not_zero(self):
        self.assertIsNone(trace.blackout(trace.parse(SOURCE_LOG), []))
        self.assertIsNone(trace.blackout([], trace.parse(DEST_LOG)))

    def test_start_before_stop_is_none(self):
        early = DEST_LOG.replace("1763795186", "1763795100")
        self.assertIsNone(trace.blackout(trace.parse(SOURCE_LOG), trace.parse(early)))

    def test_ladder_is_in_order_of_time(self):
        names = [name for name, _ in trace.ladder(trace.parse(SOURCE_LOG), trace.parse(DEST_LOG))]
        self.assertEqual(names, ["src-downtime-start", "src-vm-stopped", "dst-precopy-loadvm-completed",
                                 "src-downtime-end", "dst-precopy-bh-vm-started"])

    def test_no_log_is_no_events(self):
        self.assertEqual(trace.read("/nonexistent/trace"), [])


class Gaps(unittest.TestCase):
    def test_gap_across_the_begin_counts(self):
        self.assertEqual(console.gaps([1, 2, 5, 6], 3, 7), [1, 3])

    def test_outside_does_not_count(self):
        self.assertEqual(console.gaps([1, 2, 50, 51], 0, 10), [1])
        self.assertEqual(console.gaps([], 0, 10), [])

    def test_quantile(self):
        self.assertEqual(console.quantile(list(range(100)), 0.99), 99)
        self.assertEqual(console.quantile([7], 0.5), 7)
        self.assertIsNone(console.quantile([], 0.5))

    def test_fields(self):
        self.assertEqual(console.fields("APN-CHECK pages=10 errors=0 why=x"), {"pages": 10, "errors": 0, "why": "x"})


class CpuTime(unittest.TestCase):
    def test_name_with_brackets_and_spaces(self):
        line = "1 (CPU 0/TCG) x) S " + " ".join(["0"] * 10) + " 250 50 0 0"
        self.assertAlmostEqual(cpu.parse_stat(line), 300 / os.sysconf("SC_CLK_TCK"))

    def test_time_of_an_ended_thread_stays(self):
        def burn():
            end = time.thread_time() + 0.15
            while time.thread_time() < end:
                pass
        before = cpu.process_seconds(os.getpid())
        thread = threading.Thread(target=burn)
        thread.start()
        thread.join()
        self.assertGreater(cpu.process_seconds(os.getpid()) - before, 0.1)

    def test_thread_time_is_taken_off(self):
        me = threading.get_native_id()
        self.assertLessEqual(cpu.without_vcpus(os.getpid(), [me]), cpu.process_seconds(os.getpid()))
        with self.assertRaises(HarnessError):
            cpu.process_seconds(2 ** 22 + 1)


class Memory(unittest.TestCase):
    def test_ranges_cover_ram_once(self):
        for mib in (128, 2048, 3584, 3585, 8192):
            ranges = memory.ram_ranges(mib)
            self.assertEqual(sum(size for _, size in ranges), mib << 20)
            pieces = list(memory.windows(mib))
            self.assertEqual(sum(size for _, size in pieces), mib << 20)
            self.assertTrue(all(size <= memory.WINDOW for _, size in pieces))
            self.assertEqual(len({address for address, _ in pieces}), len(pieces))
        self.assertEqual(memory.ram_ranges(8192)[1], (4 << 30, 5 << 30))

    def test_one_flipped_byte_is_found(self):
        one = bytes(8 * 4096)
        other = bytearray(one)
        other[3 * 4096 + 17] ^= 1
        self.assertEqual(memory.differing_pages(one, bytes(other), 0x10000, 16), [0x10000 + 3 * 4096])
        self.assertEqual(memory.differing_pages(one, one, 0, 16), [])

    def test_limit_is_kept(self):
        self.assertEqual(len(memory.differing_pages(bytes(99 * 4096), b"\1" * 99 * 4096, 0, 16)), 16)

    def test_nonzero_pages(self):
        image = bytearray(5 * 4096)
        image[4095] = 1
        image[4 * 4096] = 1
        self.assertEqual(memory.count_nonzero(bytes(image)), 2)


class Server:
    """Speaks as much QMP as a test needs; @script maps a command to the lines that answer it."""

    def __init__(self, script):
        self.directory = tempfile.TemporaryDirectory()
        self.path = os.path.join(self.directory.name, "qmp")
        self.script = script
        self.seen = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        peer, _ = self.listener.accept()
        with peer, peer.makefile("rwb") as file:
            file.write(b'{"QMP": {"version": {}}}\n')
            file.flush()
            for line in file:
                request = json.loads(line)
                self.seen.append(request)
                for answer in self.script.get(request["execute"], [{"return": {}}]):
                    file.write(json.dumps(answer).encode() + b"\n")
                    file.flush()

    def close(self):
        self.listener.close()
        self.directory.cleanup()


class QmpClient(unittest.TestCase):
    def client(self, script):
        server = Server(script)
        self.addCleanup(server.close)
        client = qmp.Qmp(server.path, 5)
        self.addCleanup(client.close)
        return server, client

    def test_events_between_are_kept_in_order(self):
        event = {"event": "STOP", "timestamp": {"seconds": 5, "microseconds": 250000}}
        other = {"event": "MIGRATION", "data": {"status": "active"}, "timestamp": {"seconds": 6, "microseconds": 0}}
        _, client = self.client({"query-status": [event, other, {"return": {"status": "paused"}}]})
        self.assertEqual(client.execute("query-status"), {"status": "paused"})
        self.assertEqual([e["event"] for e in client.events], ["STOP", "MIGRATION"])
        self.assertEqual(qmp.event_seconds(client.wait_event("STOP", 0)), 5.25)
        with self.assertRaisesRegex(HarnessError, "RESUME.*0.05 s"):
            client.wait_event("RESUME", 0.05)

    def test_refusal_keeps_qemus_words(self):
        _, client = self.client({"migrate": [{"error": {"class": "GenericError", "desc": "no such place"}}]})
        with self.assertRaisesRegex(qmp.QmpError, "migrate: no such place"):
            client.execute("migrate", uri="tcp:x")

    def test_argument_names(self):
        server, client = self.client({})
        client.execute("migrate-set-parameters", max_bandwidth=5)
        self.assertEqual(server.seen[-1]["arguments"], {"max-bandwidth": 5})

    def test_end_and_silence_are_told_apart(self):
        server, client = self.client({"quit": [], "hang": []})
        with self.assertRaisesRegex(HarnessError, "hang: no answer within 0.1 s"):
            client.execute("hang", seconds=0.1)
        os.unlink(server.path)
        with self.assertRaises(qmp.QmpClosed):
            qmp.Qmp(server.path, 1, alive=lambda: False)


class Children(unittest.TestCase):
    def test_stop_kills_the_stubborn(self):
        child = process.start(["sh", "-c", "trap '' TERM; while :; do sleep 0.05; done"])
        time.sleep(0.2)
        self.assertEqual(process.stop(child, 0.3), -signal.SIGKILL)

    def test_child_dies_with_its_parent(self):
        script = ("import sys,os; sys.path.insert(0,%r); from harness import process; "
                  "c=process.start(['sleep','60']); print(c.pid,flush=True); os.kill(os.getpid(),9)" % sys.path[0])
        top = os.path.join(os.path.dirname(__file__), "..", "..")
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20,
                              env={**os.environ, "PYTHONPATH": top})
        pid = int(done.stdout)
        def gone():
            try:
                with open("/proc/%d/stat" % pid, encoding="ascii") as file:
                    return file.read().rsplit(")", 1)[1].split()[0] == "Z"
            except OSError:
                return True
        process.wait_until(gone, 5, "end of the child")

    def test_a_program_that_is_missing_is_named(self):
        with self.assertRaisesRegex(HarnessError, "cannot start /nonexistent/qemu"):
            process.start(["/nonexistent/qemu"])


class Environment(unittest.TestCase):
    def test_missing_names_are_listed(self):
        with self.assertRaisesRegex(HarnessError, "QEMU_STOCK, GUEST_KERNEL"):
            environment.Environment({})

    def test_missing_file_is_named(self):
        variables = {key: "/bin/sh" for key in environment.REQUIRED}
        with self.assertRaisesRegex(HarnessError, "APN_PATH=/nowhere"):
            environment.Environment({**variables, "APN_PATH": "/nowhere"})
        found = environment.Environment({**variables, "QEMU_FIRMWARE": "-L /a -L /b"})
        self.assertEqual(found.firmware, ["-L", "/a", "-L", "/b"])
        self.assertIsNone(found.qemu_apn)


class Setups(unittest.TestCase):
    def test_scheme_and_capabilities(self):
        setup = migrate.Setup("stock-multifd", "x")
        self.assertEqual(setup.uri("10.0.0.1"), "tcp:10.0.0.1:%d" % migrate.PORT)
        self.assertIn("multifd", setup.capabilities)
        self.assertEqual(migrate.Setup("apn", "x").uri("h"), "apn:h:%d" % migrate.PORT)


class Warm(unittest.TestCase):
    def test_amount(self):
        self.assertEqual(warm.available_mib("MemTotal: 5 kB\nMemAvailable:   4194304 kB\n"), 4096)

    def test_touch(self):
        self.assertIsNone(warm.touch(0))
        self.assertGreater(warm.touch(100), 0)

    def test_reporting_is_put_off_and_back(self):
        with tempfile.TemporaryDirectory() as directory:
            names = {"min_free_ms": "0", "max_waiting_mib": "1024"}
            for name, value in names.items():
                with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                    file.write(value + "\n")

            def now():
                return {name: open(os.path.join(directory, name), encoding="ascii").readline().strip() for name in names}
            with warm.Kept(directory) as kept:
                self.assertTrue(kept.in_force)
                self.assertEqual(now()["min_free_ms"], "60000")
            self.assertEqual(now(), names)

    def test_what_was_put_off_is_put_back_after_sigkill(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "min_free_ms")
            for name, value in (("min_free_ms", "7"), ("max_waiting_mib", "1024")):
                with open(os.path.join(directory, name), "w", encoding="ascii") as file:
                    file.write(value + "\n")
            child = os.fork()
            if child == 0:
                with warm.Kept(directory):
                    os.kill(os.getpid(), signal.SIGKILL)
            os.waitpid(child, 0)

            def back():
                with open(path, encoding="ascii") as file:
                    return file.readline().strip() == "7"
            process.wait_until(back, 5, "the setting to be put back")

    def test_a_kernel_without_the_settings(self):
        with tempfile.TemporaryDirectory() as directory, warm.Kept(directory) as kept:
            self.assertFalse(kept.in_force)


class Startup(unittest.TestCase):
    def test_time_to_full_speed(self):
        steps = [(0, 0, 0), (0.1, 0, 500), (0.12, 0, 1000000), (0.15, 1, 9)]  # quiet until 0.1, first bytes at 0.15
        samples = [{"at_s": at, "applied_bytes": done, "in_flight_bytes": flight} for at, done, flight in steps]
        samples += [{"at_s": 0.2 + 0.02 * i, "applied_bytes": 1000 * 2 ** i, "in_flight_bytes": 9} for i in range(8)]  # to 128000 at 0.34
        samples += [{"at_s": 0.36 + 0.02 * i, "applied_bytes": 128000 + 64000 * (i + 1), "in_flight_bytes": 9} for i in range(50)]
        self.assertAlmostEqual(migrate.startup_s(samples, 0.04), 0.22, delta=0.021)  # 0.32 is where the rate is there
        self.assertIsNone(migrate.startup_s(samples[:3], 0.04))
        self.assertIsNone(migrate.startup_s([{"at_s": 0, "ram_bytes": 1}], 0.04))  # stock does not say what was applied


if __name__ == "__main__":
    unittest.main()
