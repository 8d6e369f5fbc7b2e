# SPDX-License-Identifier: GPL-2.0-or-later
"""use.py - how much of what the guests drew was renewable, and how much it would have been with them elsewhere

Owner: day.  Thread: main.  Time: monotonic of the samples.  Units: kW, s, shares of 1.

All figures are of the same samples: what each guest drew at that moment, what each host drew without guests, and what each site had
left of renewable power. Only where the guests are differs. So nothing can beat the oracle, which may put every guest where it likes
at every sample, at no cost; the distance to it is what forecasts, moves, dwell times and demand response cost.
"""
import itertools

ROUNDS = 8   # of looking for the oracle; it takes two or three
GAP_S = 5.0  # longer without a sample (the agent was away) is not counted


def of_state(state):
    """What this needs of a snapshot of the agent: sites that are real, and guests that run at one of them."""
    hosts = {}
    for host in state["hosts"]:
        hosts[host["site"]] = hosts.get(host["site"], 0.0) + (host["power_w"] or 0.0) / 1000
    sites = {}
    for site in state["sites"]:
        if not site["paper"]:
            watts = hosts.get(site["name"], 0.0)
            sites[site["name"]] = {"surplus": max(0.0, site["surplus_kw"] or 0.0), "host": watts,
                                   "pue": (site["power_kw"] or 0.0) / watts if watts > 0 else 1.0}
    guests = {vm["name"]: (vm["site"], (vm["power_w"] or 0.0) / 1000) for vm in state["vms"] if vm["site"] in sites}
    return {"sites": sites, "guests": guests}


def _draws(sample, placed):
    """{site: kW} with the guests at @placed ({guest: site} or {guest: {site: share}})."""
    draw = {name: site["host"] for name, site in sample["sites"].items()}
    for name, (site, power) in sample["guests"].items():
        draw[site] -= power  # a host without its guests
        where = placed[name]
        for other, share in where.items() if isinstance(where, dict) else ((where, 1.0),):
            draw[other] += power * share
    return {name: max(0.0, power) * sample["sites"][name]["pue"] for name, power in draw.items()}


def _green(sample, placed):
    """(renewable kW, all kW)"""
    draw = _draws(sample, placed)
    return sum(min(power, sample["sites"][name]["surplus"]) for name, power in draw.items()), sum(draw.values())


def _steps(samples):
    """(sample, seconds until the next), as far as the agent answered."""
    for sample, following in zip(samples, samples[1:]):
        length = following["at"] - sample["at"]
        if "use" in sample and length <= GAP_S:
            yield sample["use"], length


def _share(steps, place):
    green = total = 0.0
    for sample, length in steps:
        some, whole = _green(sample, place(sample))
        green += some * length
        total += whole * length
    return round(green / total, 4) if total else None


def _oracle(steps, ways):
    """The best way at every sample. A ratio of sums is greatest where each term's green - ratio x all is (Dinkelbach, 1967)."""
    share = 0.0
    for _ in range(ROUNDS):
        def best(sample, share=share):
            return max(ways, key=lambda way: (lambda green, whole: green - share * whole)(*_green(sample, way)))
        found = _share(steps, best)
        if found is None or found <= share:
            break
        share = found
    return share


def shares(samples):
    """{uniform, best_static, oracle, agent}: renewable part of what was drawn; None where nothing was."""
    steps = list(_steps(samples))
    if not steps:
        return dict.fromkeys(("uniform", "best_static", "oracle", "agent"))
    names = sorted({name for sample, _ in steps for name in sample["guests"]})
    sites = sorted(steps[0][0]["sites"])
    ways = [dict(zip(names, way)) for way in itertools.product(sites, repeat=len(names))]
    evenly = {site: 1.0 / len(sites) for site in sites}

    static = [_share(steps, lambda _, way=way: way) for way in ways]
    return {"uniform": _share(steps, lambda sample: dict.fromkeys(sample["guests"], evenly)),
            "best_static": max(value or 0.0 for value in static),
            "oracle": _oracle(steps, ways),
            "agent": _share(steps, lambda sample: {name: site for name, (site, _) in sample["guests"].items()})}
