# SPDX-License-Identifier: GPL-2.0-or-later
"""agent.py - the agent moves real guests; it, a QEMU, or the path is killed at random points"""
import filecmp
import os

from agent_rig import Rig, check, other, seeded, signal, time, wait_until
from registry import case


def there_and_back(rig, name, rounds):
    blackouts = []
    for _ in range(rounds):
        rig.migrate(name, other(rig.one_runs(name)), wait=True)
        done = rig.state()["migrations"][0]
        check(done["state"] == "done" and done["vm"] == name, "ended as %s: %s", done["state"], done["error"])
        check(done["blackout_ms"] is not None and done["bytes"] > 0, "figures are missing: %s", done)
        blackouts.append(done["blackout_ms"])
    return blackouts


@case("agent: a guest there and back over apn, paused and drained, and its figures", seconds=400)
def plain(lab):
    with Rig(lab, rate_gbps=2.5) as rig:
        rig.start()
        rig.booted()
        blackouts = there_and_back(rig, "web1", 2)
        rig.self_check("web1")
        check(rig.cli("pause", "web1").returncode == 0, "pause was refused")
        wait_until(lambda: "paused" in rig.copies("web1").values(), 5, "guest to be paused")
        rig.migrate("web1", "tokyo", wait=True)  # a paused guest moves too, and stays paused
        check(rig.vm("web1")["state"] == "paused", "paused guest is %s after its move", rig.vm("web1")["state"])
        check(rig.cli("resume", "web1").returncode == 0, "resume was refused")
        check(rig.one_runs("web1") == "tokyo", "the guest is not at tokyo")
        check(rig.cli("drain", "t1").returncode == 0, "drain was refused")
        wait_until(lambda: [site for site, _ in rig.running("web1")] == ["fukuoka"], 30, "drained host to be empty")
        rig.settle()
        refused = rig.cli("migrate", "web1", "tokyo")
        check(refused.returncode == 1 and "drained" in refused.stderr, "a drained host was not refused: %s", refused.stderr)
        rig.self_check("web1")
        return "blackout %s ms" % ", ".join("%.0f" % ms for ms in blackouts)


def kill_agent_at(rig, random, name):
    """One move with the agent killed somewhere in it. Returns (site before, site after, stage killed in)."""
    before = rig.one_runs(name)
    begin = time.monotonic()
    rig.migrate(name, other(before))
    delay = random.uniform(0.0, 3.0)
    time.sleep(max(0.0, delay - (time.monotonic() - begin)))
    rig.kill()
    rig.never_two(name)
    time.sleep(random.choice((0, 0, 0.5, 3)))
    rig.never_two(name)
    took = rig.start()
    check(took < 5.0, "after the restart the truth took %.1f s", took)
    rig.never_two(name)
    rig.settle(90)
    after = rig.one_runs(name)
    return before, after, delay


@case("agent: SIGKILL of the agent at random points of a move, nothing lost or doubled", seconds=900)
def killed_agent(lab):
    random = seeded("agent killed")
    moved = 0
    count = lab.count(3, 20)
    with Rig(lab, rate_gbps=0.5) as rig:
        rig.start()
        rig.booted()
        for _ in range(count):
            before, after, _ = kill_agent_at(rig, random, "web1")
            moved += before != after
            check(len(rig.pids("web1")) == 1, "QEMUs left over: %s", rig.copies("web1"))
        rig.self_check("web1")
        story = rig.cli("explain", "web1").stdout
        check("restart" in story or moved == count, "the journal does not tell of the restarts: %s", story)
    return "%d of %d arrived" % (moved, count)


@case("agent: SIGKILL of the source's or the destination's QEMU at random points", seconds=900)
def killed_qemu(lab):
    random = seeded("QEMU killed")
    seen = []
    with Rig(lab, rate_gbps=0.5) as rig:
        rig.start()
        rig.booted()
        for _ in range(lab.count(2, 10)):
            before = rig.one_runs("web1")
            source = rig.running("web1")[0][1]
            rig.migrate("web1", other(before))
            time.sleep(random.uniform(0.3, 2.5))
            victims = rig.pids("web1")
            victim = random.choice(victims)
            with open("/proc/%d/environ" % victim, "rb") as file:
                was_source = ("VMM_AGENT_EPOCH=%d" % source).encode() in file.read().split(b"\0")
            os.kill(victim, signal.SIGKILL)
            rig.never_two("web1")
            rig.settle(90)
            after = rig.one_runs("web1", 60)
            check(len(rig.pids("web1")) == 1, "QEMUs left over: %s", rig.copies("web1"))
            seen.append("%s killed: %s" % ("source" if was_source else "destination", "moved" if after != before else "stayed"))
        rig.booted()
        rig.self_check("web1")
    return "; ".join(seen)


@case("agent: the path cut at random points, shorter and longer than the session's timeout", seconds=900)
def cut_path(lab):
    random = seeded("path cut")
    seen = []
    with Rig(lab, rate_gbps=0.5) as rig:
        rig.start()
        rig.booted()
        for turn in range(lab.count(2, 10)):
            before = rig.one_runs("web1")
            rig.migrate("web1", other(before))
            time.sleep(random.uniform(0.2, 2.5))
            rig.path.cut()
            dark = 10.0 if turn % 2 == 1 else random.uniform(0.5, 4.0)
            end = time.monotonic() + dark
            while time.monotonic() < end:
                rig.never_two("web1")
                time.sleep(0.3)
            rig.path.restore()
            rig.settle(120)
            after = rig.one_runs("web1")
            check(len(rig.pids("web1")) == 1, "QEMUs left over: %s", rig.copies("web1"))
            seen.append("%.0f s: %s" % (dark, "moved" if after != before else "stayed"))
        rig.self_check("web1")
    return "; ".join(seen)


@case("agent: over tcp to a QEMU that knows no apn, and back", seconds=400)
def stock_peer(lab):
    with Rig(lab, rate_gbps=2.5, binaries={"tokyo": "stock"}) as rig:
        rig.start()
        rig.booted()
        rig.migrate("web1", "tokyo", wait=True)
        first = rig.state()["migrations"][0]
        check(rig.one_runs("web1") == "tokyo" and first["transport"] == "tcp", "not over tcp: %s", first)
        rig.migrate("web1", "fukuoka", wait=True)
        check(rig.one_runs("web1") == "fukuoka", "the guest did not come back")
        rig.self_check("web1")
        return "%d attempts there, blackout %.0f ms" % (first["attempt"], first["blackout_ms"])


DISK = {"start": ["-blockdev", "driver=file,node-name=d0f,filename={dir}/{vm}.img,locking=off", "-blockdev", "driver=raw,node-name=d0,file=d0f",
                  "-device", "virtio-blk-pci,drive=d0"],
        "prepare": ["truncate", "-s", "24M", "{dir}/{vm}.img"], "disks": [{"node": "d0"}]}


@case("agent: a local disk travels with its guest by NBD, and back", seconds=400)
def local_disk(lab):
    with Rig(lab, rate_gbps=2.5, group=DISK) as rig:
        source, dest = (os.path.join(rig.host_directory(site), "web1.img") for site in ("fukuoka", "tokyo"))
        with open(source, "wb") as file:
            file.write(os.urandom(8 << 20))
            file.truncate(24 << 20)
        rig.start()
        rig.booted()
        rig.migrate("web1", "tokyo", wait=True)
        moved = rig.state()["migrations"][0]
        check(rig.one_runs("web1") == "tokyo", "the guest is not at tokyo")
        check(filecmp.cmp(source, dest, shallow=False), "the disk at the destination differs")
        os.unlink(source)
        rig.migrate("web1", "fukuoka", wait=True)
        check(rig.one_runs("web1") == "fukuoka", "the guest did not come back")
        check(filecmp.cmp(source, dest, shallow=False), "the disk that came back differs")
        rig.self_check("web1")
        return "blackout %.0f ms" % moved["blackout_ms"]


@case("agent: a disk of unknown sharing keeps its guest where it is, in words", seconds=200)
def undeclared_disk(lab):
    with Rig(lab, group={"start": DISK["start"]}) as rig:
        with open(os.path.join(rig.host_directory("fukuoka"), "web1.img"), "wb") as file:
            file.truncate(1 << 20)
        rig.start()
        rig.one_runs("web1", 60)
        rig.migrate("web1", "tokyo")
        state = rig.settle(30)
        check(state["migrations"][0]["state"] == "failed" and "d0" in state["migrations"][0]["error"], "not refused: %s", state["migrations"][0])
        check(rig.one_runs("web1") == "fukuoka", "the guest moved")
        return state["migrations"][0]["error"]


@case("agent: the path lost after the grant: the facts decide, the source is resolved", seconds=900, full=True)
def lost_grant(lab):
    seen = []
    with Rig(lab, rate_gbps=2.5, rtt_ms=300.0) as rig:
        rig.start()
        rig.booted()
        for _ in range(lab.count(1, 5)):
            before = rig.one_runs("web1")
            spy = rig.spies[os.path.join(rig.host_directory(before), "web1.%d.spy" % rig.running("web1")[0][1])]
            rig.migrate("web1", other(before))
            wait_until(lambda: spy.execute("query-migrate").get("apn", {}).get("verdict") in ("granted", "started"), 60, "grant", pause=0.001)
            rig.path.cut()
            end = time.monotonic() + 11
            while time.monotonic() < end:
                rig.never_two("web1")
                time.sleep(0.2)
            rig.path.restore()
            rig.settle(90)
            after = rig.one_runs("web1")
            story = rig.cli("explain", "web1").stdout
            seen.append("%s%s" % ("moved" if after != before else "stayed", ", resolved" if "destination-" in story else ""))
            check("destination-" in story or after != before, "nothing was resolved:\n%s", story)
            check(len(rig.pids("web1")) == 1, "QEMUs left over: %s", rig.copies("web1"))
        rig.self_check("web1")
    return "; ".join(seen)
