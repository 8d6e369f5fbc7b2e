# SPDX-License-Identifier: GPL-2.0-or-later
"""confinement.py - the ways in which administrators run QEMU: sandboxed, unprivileged, little lockable memory, another QEMU before it"""
import copy
import os
import pwd
import shutil
import subprocess

from fixture import Skipped, check, wait_until
from harness import migrate
from registry import case

SANDBOX = ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]  # libvirt's words


@case("confinement: -sandbox on, as libvirt says it, at both ends", seconds=120)
def sandbox(lab):
    with lab.site() as site:
        source = site.source(lab.guest(), extra=SANDBOX)
        dest = site.dest(source, extra=SANDBOX)
        site.move(source, dest, {"apn-lanes": 2})
        site.same_memory(source, dest)
        dest.qmp.execute("cont")
        wait_until(lambda: dest.status() == "running", 5, "destination to run")
        site.self_check(dest)


class Unprivileged:
    """Words that start a command as nobody, with 8 MiB of lockable memory."""

    WORDS = ("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all", "--")

    @classmethod
    def prefix(cls, before):
        return [*before, "prlimit", "--memlock=8388608:8388608", "--", *cls.WORDS]


@case("confinement: unprivileged, RLIMIT_MEMLOCK 8 MiB, every send mode", seconds=240)
def unprivileged(lab):
    if not shutil.which("setpriv"):
        raise Skipped("setpriv (util-linux) is not here")
    uid = pwd.getpwnam("nobody").pw_uid
    words = []
    os.chmod(lab.directory, 0o777)
    ours = lab.environment
    readable = copy.copy(ours)
    for name in ("kernel", "initrd", "qemu_apn"):  # the cache may be below root's home
        setattr(readable, name, shutil.copy(getattr(ours, name), os.path.join(lab.directory, "nobodys-" + name)))
        os.chmod(getattr(readable, name), 0o755)
    with lab.site() as site:
        plain = site.path.prefix
        source = None
        try:
            os.chmod(lab.snapshot(lab.guest()), 0o644)
            lab.environment = readable
            site.path.prefix = lambda end: Unprivileged.prefix(plain(end))
            for mode in ("auto", "copy", "zero-copy"):
                if not source:
                    source = site.source(lab.guest())
                dest = site.dest(source)
                migrate_uid(source, uid)
                site.begin(source, dest, {"apn-send-mode": mode, "apn-lanes": 2})
                status = site.wait(source, 60)
                if status != "completed":
                    text = site.error_of(source)
                    check("memlock" in text.lower() or "lock" in text.lower(), "%s failed without naming the limit: %s", mode, text)
                    words.append("%s refused: %s" % (mode, text))
                    dest.stop()
                    continue
                words.append("%s: sent by %s" % (mode, source.qmp.execute("query-migrate")["apn"]["send-mode"]))
                source.stop()
                dest.qmp.execute("cont")
                wait_until(lambda: dest.status() == "running", 5, "destination to run")
                source = dest
        finally:
            site.path.prefix = plain
            lab.environment = ours
    return "; ".join(words)


def migrate_uid(vm, uid):
    with open("/proc/%d/status" % vm.pid, encoding="ascii") as file:
        line = next(line for line in file if line.startswith("Uid:"))
    check(int(line.split()[1]) == uid, "QEMU does not run as nobody: %s", line.strip())


@case("confinement: a guest started under stock QEMU 10.0 is handed over by stock tcp migration, then moves over apn", seconds=120)
def handover(lab):
    with lab.site() as site:
        guest = lab.guest()
        old = site.source(guest, binary=lab.environment.qemu_stock)
        new = site.start("a", guest, paused=False)
        new.qmp.execute("migrate-incoming", uri="tcp:127.0.0.1:4471")
        old.qmp.execute("migrate-set-parameters", **{"max-bandwidth": migrate.UNLIMITED})
        old.qmp.execute("migrate", uri="tcp:127.0.0.1:4471")
        check(site.wait(old, 60) == "completed", "stock to ours: %s", site.error_of(old))
        wait_until(lambda: new.status() == "running", 10, "guest to run under ours")
        old.stop()
        site.self_check(new)
        dest = site.dest(new)
        site.move(new, dest)
        site.same_memory(new, dest)
        back = site.start("b", guest, binary=lab.environment.qemu_stock)
        back.qmp.execute("migrate-incoming", uri="tcp:127.0.0.1:4472")
        dest.qmp.execute("cont")
        dest.qmp.execute("migrate", uri="tcp:127.0.0.1:4472")
        check(site.wait(dest, 60) == "completed", "ours back to stock: %s", site.error_of(dest))


@case("confinement: stock binary and a build without apn say so in words", seconds=60)
def not_built_in(lab):
    done = subprocess.run([lab.environment.qemu_stock, *lab.environment.firmware, "-machine", "none", "-nodefaults", "-display", "none",
                           "-incoming", "apn:127.0.0.1:4473"], capture_output=True, text=True, timeout=20)
    check(done.returncode, "stock QEMU accepted an apn address")
    return done.stderr.strip().splitlines()[-1]
