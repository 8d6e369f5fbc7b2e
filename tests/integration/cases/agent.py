# SPDX-License-Identifier: GPL-2.0-or-later
"""agent.py - the agent moves real guests; it, a QEMU, or the path is killed at random points"""
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
        wait_until(lambda: rig.running("web1") and rig.running("web1")[0][0] == "fukuoka", 30, "drained host to be empty")
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
    count = lab.count(4, 20)
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
        for _ in range(lab.count(3, 10)):
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
        for turn in range(lab.count(3, 10)):
            before = rig.one_runs("web1")
            rig.migrate("web1", other(before))
            time.sleep(random.uniform(0.2, 2.5))
            rig.path.cut()
            dark = 12.0 if turn % 3 == 2 else random.uniform(0.5, 4.0)
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
