# SPDX-License-Identifier: GPL-2.0-or-later
"""memory_kinds.py - every kind of guest memory: right, or refused in words"""
import os
import time

from fixture import check, wait_until
from registry import case


def backed(lab, kind, mib=192):
    if kind == "memfd":
        words = ["-object", "memory-backend-memfd,id=m,size=%dM,share=on" % mib]
    elif kind == "file":
        words = ["-object", "memory-backend-file,id=m,size=%dM,share=on,mem-path=%s" % (mib, lab.directory)]
    elif kind == "file-private":
        words = ["-object", "memory-backend-file,id=m,size=%dM,share=off,mem-path=%s" % (mib, lab.directory)]
    else:
        words = ["-object", "memory-backend-ram,id=m,size=%dM,prealloc=on" % mib]
    return lab.guest(mib=mib, extra=(*words, "-machine", "pc,memory-backend=m"))


@case("memory: memfd, shared and private file, preallocated", seconds=300)
def backends(lab):
    for kind in ("memfd", "file", "file-private", "prealloc"):
        with lab.site() as site:
            source = site.source(backed(lab, kind))
            dest = site.dest(source)
            site.move(source, dest, {"apn-send-mode": "zero-copy" if kind == "memfd" else "auto"})
            site.same_memory(source, dest)
            dest.qmp.execute("cont")
            wait_until(lambda: dest.status() == "running", 5, "destination to run")
            site.self_check(dest)
    return "4 kinds"


@case("memory: balloon inflates and deflates while pages flow", seconds=240)
def balloon(lab):
    guest = lab.guest(mib=320, used=64, hot=16, rate=8, extra=("-device", "virtio-balloon-pci,id=balloon0"))
    done = 0
    with lab.site(rate_gbps=0.3) as site:
        source = site.source(guest)
        for mode in ("auto", "zero-copy"):
            dest = site.dest(source)
            site.begin(source, dest, {"apn-send-mode": mode})
            for target in (280, 240, 300, 230, 320):
                source.qmp.execute("balloon", value=target << 20)
                time.sleep(0.15)
            status = site.wait(source, 90)
            check(status == "completed", "%s: ended as %s: %s", mode, status, site.error_of(source))
            site.same_memory(source, dest)
            dest.qmp.execute("cont")
            wait_until(lambda: dest.status() == "running", 5, "destination to run")
            site.self_check(dest)
            actual = dest.qmp.execute("query-balloon")["actual"] >> 20
            done += 1
            source.stop()
            source = dest
            source.guest = guest
    return "%d migrations, balloon at %d MiB at the end" % (done, actual)


def resident_mib(vm):
    with open("/proc/%d/smaps_rollup" % qemu_pid(vm), encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file if ":" in line)
    return int(fields["Rss"].split()[0]) >> 10


def qemu_pid(vm):
    """The QEMU behind the words that put it into a namespace."""
    pid = vm.pid
    for _ in range(4):
        with open("/proc/%d/comm" % pid, encoding="ascii") as file:
            if file.read().startswith("qemu"):
                return pid
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as file:
            children = file.read().split()
        if not children:
            break
        pid = int(children[0])
    return vm.pid


@case("memory: a sparse 8 GiB guest stays sparse", seconds=240)
def sparse(lab):
    with lab.site() as site:
        source = site.source(lab.guest(mib=8192, used=256, hot=16, rate=16))
        before = resident_mib(source)
        dest = site.dest(source)
        site.move(source, dest, seconds=120)
        after, there = resident_mib(source), resident_mib(dest)
        check(there <= before * 1.10, "destination has %d MiB resident, source had %d", there, before)
        check(there >= before * 0.5, "destination has only %d MiB resident, source %d", there, before)
        return "source %d MiB before and %d after, destination %d MiB" % (before, after, there)


@case("memory: ROM blocks arrive as the source has them", seconds=120)
def roms(lab):
    guest = lab.guest(extra=("-device", "virtio-net-pci,netdev=n", "-netdev", "user,id=n,restrict=on", "-device", "VGA"))
    with lab.site() as site:
        source = site.source(guest)
        dest = site.dest(source)
        site.move(source, dest)
        site.same_memory(source, dest)
        for begin, size in ((0xc0000, 0x20000), (0xe0000, 0x20000)):
            one, other = (vm.qmp.execute("human-monitor-command", **{"command-line": "xp /%dxb 0x%x" % (size // 64, begin)}) for vm in (source, dest))
            check(one == other, "ROM at %#x differs", begin)
        dest.qmp.execute("cont")
        wait_until(lambda: dest.status() == "running", 5, "destination to run")
        site.self_check(dest)


@case("memory: bytes needed are sent once: idle guest, bytes sent near the guest's contents", seconds=120)
def idle_bytes(lab):
    with lab.site() as site:
        source = site.source(lab.guest(mib=512, used=128, hot=0, rate=0))
        dest = site.dest(source)
        info = site.move(source, dest)
        sent = info["apn"]["data-pages"] << 12
        check(sent < 512 << 20, "sent %d MiB of a 512 MiB guest with 128 MiB used", sent >> 20)
        check(info["apn"]["zero-pages"] > 30000, "only %d zero pages", info["apn"]["zero-pages"])
        site.same_memory(source, dest)
        return "%d MiB with contents, %d MiB zero" % (sent >> 20, info["apn"]["zero-pages"] >> 8)
