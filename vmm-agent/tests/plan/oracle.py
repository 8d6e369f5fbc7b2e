#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""oracle.py - the planner against exact solvers on random small instances

Each instance has every kind of constraint with some probability. It is written a second time, as
an integer program (time-indexed flows, not routes), straight from docs/planner.md, and solved by
Cbc and, at full count where node and npm are there, every second one by HiGHS. Must hold:
  bound <= optimum <= cost, cost - optimum <= stated gap, a refusal said to be proved is one.
The quick run takes 40 of the 300 instances, other ones every day of a week, and says which;
APN_TEST_FULL=1 (./run test --full) takes them all.
Exit: 0 all held, 1 something did not, 77 no exact solver here.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from elsewhere import npm_module  # noqa: E402
from oracle_instances import random_instance  # noqa: E402
from oracle_program import build  # noqa: E402

HIGHS = ("highs", "1.15.3")
COUNT_FULL = 300
COUNT_QUICK = 40


def solve_cbc(path, seconds):
    answer = path + ".cbc"
    try:
        subprocess.run(["cbc", path, "-ratioGap", "0", "-allowableGap", "1e-7", "-seconds",
                        str(seconds), "-primalTolerance", "1e-9", "-solve", "-solution", answer],
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
                       timeout=seconds * 4 + 60)
    except subprocess.TimeoutExpired:  # its own limit counts processor time
        return "unknown", None
    with open(answer, encoding="utf-8") as file:
        head = file.readline()
    if head.startswith("Optimal"):
        return "optimal", float(head.split()[-1])
    if "nfeasible" in head:
        return "infeasible", None
    return "unknown", None


def solve_highs(path, modules, seconds):
    script = ("const fs=require('fs');require('highs')().then(h=>{const r=h.solve(fs.readFileSync("
              "process.argv[1],'utf8'),{mip_rel_gap:0,mip_abs_gap:1e-7,time_limit:%d});"
              "console.log(JSON.stringify([r.Status,r.ObjectiveValue]))})" % seconds)
    try:
        done = subprocess.run(["node", "-e", script, path], capture_output=True, text=True,
                              env=dict(os.environ, NODE_PATH=modules), check=False,
                              timeout=seconds * 4 + 60)
    except subprocess.TimeoutExpired:
        return "unknown", None
    if done.returncode != 0 or not done.stdout.strip():
        return "unknown", None
    status, value = json.loads(done.stdout.strip().splitlines()[-1])
    return {"Optimal": ("optimal", value), "Infeasible": ("infeasible", None)}.get(
        status, ("unknown", None))


def plan(agent, path):
    done = subprocess.run([agent, "plan", "--json", path], capture_output=True, text=True,
                          check=False, timeout=300)
    if done.returncode == 0:
        return json.loads(done.stdout), ""
    if done.returncode == 1:
        return None, done.stdout + done.stderr
    raise SystemExit(f"{path}: vmm-agent plan: exit {done.returncode}: {done.stderr}")


def compare(seed, answer, refusal, exact, who, record):
    status, optimum = exact
    record["exact"] = status
    if status == "unknown":
        return []
    if answer is None:
        if status == "infeasible":
            return []
        record["missed"] = True
        proved = "no plan found" not in refusal
        return [f"{seed}: {who} finds a plan at {optimum}, refused{' as proved' if proved else ''}: "
                f"{refusal.strip()[-200:]}"]
    if status == "infeasible":
        return [f"{seed}: {who} says infeasible, the planner has a checked plan"]
    slack = 1e-6 * abs(optimum) + 1e-4
    cost, bound = answer["cost_yen"]["total"], answer["bound_yen"]
    record.update(optimum=optimum, true_gap=(cost - optimum) / max(abs(cost), 1e-9))
    wrong = []
    if bound > optimum + slack:
        wrong.append(f"{seed}: bound {bound} is above the optimum {optimum} of {who}")
    if cost < optimum - slack:
        wrong.append(f"{seed}: cost {cost} is below the optimum {optimum} of {who}")
    if cost - optimum > answer["gap"] * abs(cost) + slack:
        wrong.append(f"{seed}: cost {cost} is further from {optimum} than the gap {answer['gap']}")
    return wrong


def full_count():
    return os.environ.get("APN_TEST_FULL", "") not in ("", "0")


def chosen_seeds(args):
    """All that were asked for, or every seventh of the 300: kinds of instances do not follow
    their numbers, so any such choice is as varied as the whole."""
    if args.count:
        return list(range(args.first, args.first + args.count))
    if full_count():
        return list(range(COUNT_FULL))
    day = int(time.time() // 86400) % 7
    return list(range(day, COUNT_FULL, 7))[:COUNT_QUICK]


def find_highs(given):
    """(node_modules folder with the package highs, why not): @given, or at full count what npm brings"""
    if not shutil.which("node"):
        return None, "node is not installed (Debian package nodejs)"
    if given:
        there = os.path.isdir(os.path.join(given, "highs"))
        return (given, "") if there else (None, "%s holds no package highs" % given)
    if not full_count():
        return None, "only at full count, or with --highs"
    folder, why = npm_module(*HIGHS)
    return (os.path.dirname(folder), "") if folder else (None, why)


def run(args):
    if shutil.which("cbc") is None:
        print("skipped: cbc is not installed (apt-get install coinor-cbc)")
        return 77
    modules, why = find_highs(args.highs)
    if not modules:
        print("note: second oracle left out: " + why)
    wrong, records = [], []
    seeds = chosen_seeds(args)
    args.seconds = args.seconds or (60 if len(seeds) > COUNT_QUICK else 10)
    print(f"instances {' '.join(str(seed) for seed in seeds)}"
          if len(seeds) <= COUNT_QUICK else f"instances {seeds[0]}..{seeds[-1]}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            instance = random_instance(seed)
            path = os.path.join(args.keep or folder, f"i{seed}.json")
            with open(path, "w", encoding="utf-8") as file:
                json.dump(instance, file)
            program = os.path.join(args.keep or folder, f"i{seed}.lp")
            with open(program, "w", encoding="utf-8") as file:
                file.write(build(instance).text())
            answer, refusal = plan(args.agent, path)
            record = {"seed": seed, "cost": answer and answer["cost_yen"]["total"],
                      "gap": answer and answer["gap"]}
            wrong += compare(seed, answer, refusal, solve_cbc(program, args.seconds), "Cbc", record)
            if modules and (args.highs or seed % 2 == 0):  # it takes three times as long as Cbc
                wrong += compare(seed, answer, refusal,
                                 solve_highs(program, modules, args.seconds), "HiGHS", record)
            records.append(record)
    gaps = sorted(r["true_gap"] for r in records if "true_gap" in r)
    stated = sorted(r["gap"] for r in records if "true_gap" in r)
    summary = {"instances": len(records), "solved": len(gaps),
               "infeasible": sum(r["exact"] == "infeasible" for r in records),
               "undecided": sum(r["exact"] == "unknown" for r in records),
               "at_optimum": sum(g <= 1e-6 for g in gaps),
               "true_gap_median": gaps[len(gaps) // 2] if gaps else None,
               "true_gap_max": gaps[-1] if gaps else None,
               "stated_gap_median": stated[len(stated) // 2] if stated else None,
               "stated_gap_max": stated[-1] if stated else None, "wrong": len(wrong)}
    print(json.dumps(summary))
    for line in wrong:
        print("WRONG", line)
    if args.records:
        with open(args.records, "w", encoding="utf-8") as file:
            json.dump({"summary": summary, "records": records}, file, indent=1)
    return 1 if wrong or not gaps else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("agent", help="the vmm-agent program")
    parser.add_argument("--count", type=int, default=0, help="so many from --first on")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=0,
                        help="per exact solution (60, in the quick run 10)")
    parser.add_argument("--highs", default=os.environ.get("APN_NODE_MODULES", ""),
                        help="node_modules folder with the package highs")
    parser.add_argument("--keep", help="folder to keep instances and programs in")
    parser.add_argument("--records", help="write every comparison there")
    sys.exit(run(parser.parse_args()))


if __name__ == "__main__":
    main()
