# SPDX-License-Identifier: GPL-2.0-or-later
"""page.py - the report as one HTML page that loads nothing: tables, charts, raw command lines

Owner: suite.  Thread: any.  Time: none.  Units: as labelled.
"""
import html

from . import markdown, svg

STYLE = """
:root{--bg:#ffffff;--fg:#1c2733;--soft:#5b6875;--rule:#d9dfe5;--panel:#f5f7f9;--good:#1b7f4b;--bad:#b3261e;--warn:#8a5a00;
--c0:#d9480f;--c1:#2f5d9b;--c2:#2b8a3e;--c3:#862e9c;--c4:#8c7000;--c5:#0b7285;--c6:#a61e4d;--c7:#5c6670;color-scheme:light}
@media(prefers-color-scheme:dark){:root{--bg:#12171c;--fg:#e3e8ed;--soft:#9aa7b3;--rule:#313b45;--panel:#1a2128;--good:#6fd19a;
--bad:#ff8a80;--warn:#f0c060;--c0:#ff8a4c;--c1:#7fb0f0;--c2:#7bd88f;--c3:#d79bea;--c4:#e0c24a;--c5:#63d2e0;--c6:#ff8fb3;--c7:#a8b3bd;
color-scheme:dark}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif}
main{max-width:1500px;margin:0 auto;padding:24px}h1{font-size:1.7em;margin:.2em 0}h2{margin:1.8em 0 .5em;border-bottom:1px solid var(--rule)}
h3{margin:1.2em 0 .4em}p.lead{color:var(--soft);margin:.2em 0 1em;max-width:75em}
.scroll{overflow-x:auto;border:1px solid var(--rule);border-radius:6px;margin:.6em 0}table{border-collapse:collapse;width:100%;font-size:.82em}
th,td{padding:5px 7px;text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}th{background:var(--panel);font-weight:600;
text-align:right}td:first-child,th:first-child,td.words,th.words{text-align:left}td.wrap{white-space:normal;min-width:22em;text-align:left}
tbody tr+tr td{border-top:1px solid var(--rule)}tr.ours td{background:color-mix(in srgb,var(--c0) 9%,transparent)}
.ok{color:var(--good)}.bad{color:var(--bad)}.warn{color:var(--warn)}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(560px,100%),1fr));gap:18px;margin:1em 0}
figure{margin:0;padding:12px;background:var(--panel);border-radius:8px}figcaption{font-weight:600}figcaption small{display:block;
font-weight:400;color:var(--soft)}svg{width:100%;height:auto;display:block}svg text{fill:var(--fg);font-size:12px}svg .label{fill:var(--soft)}
.grid{stroke:var(--rule)}.axis,.tick{stroke:var(--soft)}.mark{stroke:var(--soft);stroke-dasharray:4 3}.line{fill:none;stroke-width:2.2;
stroke-linejoin:round}.none{color:var(--soft)}.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:.85em;margin:.3em 0}
.legend i{display:inline-block;width:14px;height:4px;border-radius:2px;margin-right:5px;vertical-align:middle}
details{margin:.6em 0}summary{cursor:pointer}pre{background:var(--panel);padding:10px;border-radius:6px;overflow-x:auto;font-size:.82em;
white-space:pre-wrap;overflow-wrap:anywhere}.simulated{border:2px dashed var(--warn);border-radius:8px;padding:0 16px 12px;margin-top:2em}
ul.asked{columns:2;column-gap:2em;font-size:.92em;padding-left:1.2em}@media(max-width:900px){ul.asked{columns:1}}
""" + "".join(".line.s%d{stroke:var(--c%d)}.dot.s%d,.legend i.s%d{fill:var(--c%d);background:var(--c%d)}" % (i, i, i, i, i, i)
              for i in range(svg.SERIES_MAX))

SHOWN = 7  # transports in one chart


def table(rows, columns, ours=lambda row: False):
    """@columns: [(heading, function of row)]; the first two and the last are words."""
    words = {0, 1, len(columns) - 1}
    head = "".join('<th%s>%s</th>' % (' class="words"' if i in words else "", html.escape(heading))
                   for i, (heading, _) in enumerate(columns))
    body = []
    for row in rows:
        cells = "".join('<td%s>%s</td>' % (_class(i in words, get(row)), html.escape(str(get(row)))) for i, (_, get) in enumerate(columns))
        body.append("<tr%s>%s</tr>" % (' class="ours"' if ours(row) else "", cells))
    return '<div class="scroll"><table><thead><tr>%s</tr></thead><tbody>%s</tbody></table></div>' % (head, "".join(body))


def _class(is_words, value):
    mood = {"ok": "ok", "yes": "ok", "NO": "bad", "failed": "bad", "partly failed": "bad", "not clean": "warn",
            "missing": "warn", "not run": "warn"}.get(str(value), "")
    found = " ".join(word for word in ("words" if is_words else "", mood) if word)
    return ' class="%s"' % found if found else ""


def is_ours(row):
    return row.get("family") == "apn"


def chosen_transports(rows):
    """Those worth a colour: ours first, then stock's that are measured."""
    names = list(dict.fromkeys(row["transport"] for row in sorted(rows, key=lambda r: r["family"] != "apn")
                               if row["status"] in ("ok", "partly failed") and row["family"] != "control"))
    return names[:SHOWN]


def by_rtt(report, guest, figure):
    """[(transport, [(rtt, value)])] on paths without loss or cut, at the commonest rate."""
    rows = [row for row in report["rows"] if row["guest"] == guest and not row["loss"] and not row["cut"] and row[figure] is not None]
    rates = [row["rate_gbps"] for row in rows]
    if not rates:
        return [], None
    rate = max(set(rates), key=rates.count)
    return [(name, sorted((row["rtt_ms"], row[figure]) for row in rows if row["transport"] == name and row["rate_gbps"] == rate))
            for name in chosen_transports(report["rows"])], rate


def usable(records):
    """Completed runs; the clean ones where there are any."""
    runs = [record for record in records if record["kind"] == "run" and record["status"] == "completed"]
    good = [run for run in runs if run["clean"]]
    return (good, "") if good else (runs, "from runs that were NOT CLEAN")


def blackout_cdf(report, records):
    """Every blackout of each transport over paths of 6 ms and more."""
    runs, note = usable(records)
    far = {row["path"] for row in report["rows"] if row["rtt_ms"] >= 6}
    series = [(name, svg.cumulative([run["blackout_ms"] for run in runs if run["transport"] == name and run["path"] in far]))
              for name in chosen_transports(report["rows"])]
    return svg.chart("Blackout: share of migrations that were dark for at most …", series, "ms (log)", "share", x_kind="log",
                     step=True, note=note or "all guests on paths of 6 ms and more", y_high=1)


def timeline_run(records, ours=True):
    """The run to show: a writing guest if there is one, the longest series of samples."""
    runs = [run for run in usable(records)[0] if (run["transport"].startswith("apn")) == ours and len(run.get("samples", [])) > 3 and
            not run["transport"].startswith("control")]
    return max(runs, key=lambda run: ("idle" not in run["guest"], len(run["samples"])), default=None)


def timeline(run, name):
    """One migration: rate, in flight, dirty, applied, and where it switched over."""
    if run is None:
        return svg.chart("Timeline: " + name, [], "s", "MB")
    samples = run["samples"]
    applied = "applied_bytes" if any("applied_bytes" in s for s in samples) else "ram_bytes"
    rate, previous = [], None
    for sample in samples:
        if previous and sample["at_s"] > previous["at_s"] and applied in sample:
            done = sample[applied] - previous.get(applied, 0)
            rate.append((sample["at_s"], max(0, done) / 1e6 / (sample["at_s"] - previous["at_s"])))
        previous = sample
    series = [("applied at the destination, MB" if applied == "applied_bytes" else "handed to the kernel, MB",
               [(s["at_s"], s.get(applied, 0) / 1e6) for s in samples]),
              ("still dirty, MB", [(s["at_s"], s.get("dirty_bytes", 0) / 1e6) for s in samples]),
              ("rate, MB/s", rate)]
    between = [("queue in front of the line, MB", [(s["at_s"], s["queue_bytes"] / 1e6) for s in samples if "queue_bytes" in s])]
    if applied == "applied_bytes":
        between.append(("in flight, MB", [(s["at_s"], s.get("in_flight_bytes", 0) / 1e6) for s in samples]))
    marks = []
    if run.get("total_s") and run.get("blackout_ms"):
        marks = [(run["total_s"] - run["blackout_ms"] / 1000, "source stops"), (run["total_s"], "destination runs")]
    note = "%s, %s, %s, repeat %d; blackout %.1f ms" % (
        run["path"], run["guest"], run["transport"], run["repeat"], run["blackout_ms"] or 0)
    return "".join(svg.chart("Timeline of %s: %s" % (name, what), lines, "seconds since the migrate command", label, marks=marks, note=note)
                   for what, lines, label in (("memory", series, "MB, MB/s"), ("what is between the two ends", between, "MB")))


def charts(report, records):
    """All measured pictures."""
    found = [blackout_cdf(report, records)]
    for guest in report["guests"]:
        series, rate = by_rtt(report, guest, "throughput_gbps")
        if any(len(points) > 1 for _, points in series):
            found.append(svg.chart("Throughput over round trip, guest %s" % guest, series, "round trip, ms", "guest memory, Gb/s",
                                   points=True, note="line of %g Gb/s" % rate))
            dark, _ = by_rtt(report, guest, "blackout_ms")
            found.append(svg.chart("Blackout over round trip, guest %s" % guest, dark, "round trip, ms", "ms (log)", points=True,
                                   y_kind="log", note="medians"))
    found.append(timeline(timeline_run(records), "ours"))
    found.append(timeline(timeline_run(records, False), "stock QEMU"))
    return '<div class="charts">%s</div>' % "".join(found)


def simulated(report):
    """The simulated part in a box that cannot be taken for a measurement."""
    from suite import simulate
    rows = [record for record in report["simulated"] if record.get("what") != "validation"]
    checks = simulate.validate(report)
    if not rows and not checks:
        return ""
    out = ['<section class="simulated"><h2>Simulated</h2><p class="lead">The engine\'s own code on a virtual clock: no network, '
           "no memory is moved, no kernel. What limits real hosts (memory bandwidth, interrupts, PCIe) is not in it.</p>"]
    if checks:
        out += ["<h3>Against measurement, where this machine reaches the rate</h3>", table(checks, markdown.validation_columns())]
    sweeps = {}
    for row in rows:
        if not row.get("why"):
            sweeps.setdefault(row["what"], []).append(row)
    drawn = []
    for what, found in sweeps.items():
        drawn += simulated_charts(what, found)
    out += ['<div class="charts">%s</div>' % "".join(drawn)] if drawn else []
    out += [table(rows, markdown.simulated_columns())] if rows else []
    out.append("</section>")
    return "".join(out)


def simulated_charts(what, rows):
    """A sweep's pictures: whatever varies most is the x axis."""
    axes = (("count", "migrations at once", "log"), ("rtt_ms", "round trip, ms", "linear"), ("guest_gib", "guest, GiB", "log"))
    axis, label, kind = max(axes, key=lambda a: len({row[a[0]] for row in rows}))
    if len({row[axis] for row in rows}) < 2:
        return []
    names = sorted({row["rate_gbps"] for row in rows})

    def lines(figure):
        return [("%g Gb/s" % rate, sorted((row[axis], row[figure]) for row in rows if row["rate_gbps"] == rate)) for rate in names]
    return [svg.chart("SIMULATED %s: blackout" % what, lines("blackout_p50_ms"), label, "ms (log)", x_kind=kind, y_kind="log", points=True),
            svg.chart("SIMULATED %s: total time" % what, lines("total_s"), label, "s (log)", x_kind=kind, y_kind="log", points=True)]


def asked(report):
    items = []
    for line in markdown._asked(report):
        mood = "bad" if "MISSED" in line or "proves nothing" in line else "warn" if "not measured" in line else "ok"
        items.append('<li class="%s">%s</li>' % (mood, html.escape(line[2:])))
    return '<ul class="asked">%s</ul>' % "".join(items) if items else "<p>no row of ours over 6 ms or more</p>"


def render(report, records):
    """The whole page."""
    machine = report["machine"] or {}
    out = ['<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">',
           "<title>Bench: %s</title><style>%s</style></head><body><main>" % (html.escape(report["matrix"]), STYLE),
           "<h1>Bench: %s</h1>" % html.escape(report["matrix"]),
           '<p class="lead">%s</p>' % html.escape("%s, %s processors %s, Linux %s, commit %s. %s" % (
               machine.get("host"), machine.get("cpus"), machine.get("cpu"), machine.get("kernel"), machine.get("commit"),
               "; ".join(report.get("ended", [])))),
           '<p class="lead">Medians of clean runs; in brackets the 95 % interval of the median, or the whole range where fewer than six '
           "repeats cannot give one. Throughput is guest memory that had to move over total time; the blackout is taken from trace points of "
           "both ends on one clock. Rows of ours are tinted.</p>", charts(report, records), "<h2>What was asked</h2>", asked(report)]
    for path, rows in markdown.grouped(report["rows"]).items():
        out += ["<h2>Path %s</h2>" % html.escape(path), table(rows, markdown.MAIN, is_ours),
                "<details><summary>heartbeat, the guest's own figures, rounds, retransmissions, memory</summary>%s</details>" % table(
                    rows, markdown.DETAIL, is_ours)]
        notes = [(row["guest"], row["transport"], row["why"]) for row in rows if row["why"]]
        if notes:
            out.append("<details><summary>%d notes</summary><ul>%s</ul></details>" % (len(notes), "".join(
                "<li>%s</li>" % html.escape("%s, %s: %s" % note) for note in notes)))
    out += ["<h2>Limits of this machine</h2>", table(markdown.limit_rows(report), [("what", lambda r: r[0]), ("figure", lambda r: r[1])])]
    out.append(simulated(report))
    out += ["<h2>To repeat it</h2>"]
    for transport, words in report["command_lines"].items():
        out.append("<details><summary>%s</summary><pre>%s</pre></details>" % (html.escape(transport), html.escape(
            "source: %s\n\ndest: %s\n\ncapabilities: %s\nparameters: %s" % (
                words["source"], words["dest"], ", ".join(words["capabilities"]), words["parameters"]))))
    out.append("<details><summary>machine</summary><pre>%s</pre></details>" % html.escape(
        "\n".join("%s: %s" % pair for pair in machine.items())))
    return "".join(out) + "</main></body></html>\n"
