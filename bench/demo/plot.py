# SPDX-License-Identifier: GPL-2.0-or-later
"""plot.py - the picture of a report, by gnuplot

Owner: demo.  Thread: main.  Time: none.  Units: as labelled.

Four panels: throughput, blackout (logarithmic), CPU per GiB, and the queue in front of the line during one run
of each transport, which is where the blackout comes from.
"""
import os
import shutil
import subprocess

from harness.process import HarnessError

COLOURS = {"stock-tcp": "#8c96a3", "stock-multifd": "#4a5b6e", "apn": "#d9480f"}
PANELS = (("throughput_gbps", "Guest memory moved, Gb/s", False), ("blackout_ms", "Blackout, ms (log)", True),
          ("cpu_s_per_gib", "CPU seconds per GiB, source + destination", False))


def best_rows(rows):
    """One row per workload and transport: stock by its shortest blackout; controls are left out."""
    chosen = {}
    for row in rows:
        key = (row["workload"], row["transport"])
        if row["control"] or row["blackout_ms"] is None:
            continue
        if key not in chosen or row["blackout_ms"] < chosen[key]["blackout_ms"]:
            chosen[key] = row
    return chosen


def _bars(chosen, workloads, transports, name):
    """gnuplot data: a line per workload, a column per transport."""
    lines = []
    for workload in workloads:
        cells = [chosen.get((workload, transport), {}).get(name) for transport in transports]
        lines.append('"%s" %s' % (workload, " ".join("NaN" if c is None else "%.5g" % c for c in cells)))
    return "\n".join(lines)


def _queue_curves(runs, transports):
    """{transport: [(s, MB)]} of the first completed writing (else any) run of each transport."""
    curves = {}
    for wanted in ("writing", None):
        for run in runs:
            fits = run["status"] == "completed" and not run.get("held") and not run.get("control")
            if fits and run["transport"] in transports and run["transport"] not in curves and \
                    wanted in (None, run["workload"]):
                curves[run["transport"]] = [(s["at_s"], s.get("queue_bytes", 0) / 1e6) for s in run.get("samples", [])]
    return curves


def script(report, image):
    """The gnuplot program, data included."""
    chosen = best_rows(report["medians"])
    transports = [t for t in COLOURS if any(key[1] == t for key in chosen)]
    workloads = list(dict.fromkeys(key[0] for key in chosen))
    path = report["path"]
    out = ['set terminal pngcairo size 1500,1000 font "sans,12" background "#ffffff"', "set output '%s'" % image,
           'set multiplot layout 2,2 title "One guest, one path: %g ms round trip, %g Gb/s\\n'
           '{/*0.75 medians; stock: its variant with the shortest blackout}" font "sans,16"' % (path["rtt_ms"], path["rate_gbps"]),
           "set style data histogram", "set style histogram clustered gap 1.2", "set style fill solid 0.95 noborder",
           "set boxwidth 0.9", "set grid y lc '#dddddd'", "set border 3 lc '#555555'", "set tics nomirror",
           "set key bmargin center horizontal", "set tmargin 3", "set bmargin 4"]
    for name, title, logarithmic in PANELS:
        out += ["$data << END", _bars(chosen, workloads, transports, name), "END", 'set title "%s" offset 0,-0.3' % title]
        out.append("set logscale y; set yrange [1:*]" if logarithmic else "unset logscale y; set yrange [0:*]")
        bars, labels = [], []
        for i, transport in enumerate(transports):
            shift = (i - (len(transports) - 1) / 2) / (len(transports) + 1.2)
            bars.append("$data using %d:xtic(1) title '%s' lc rgb '%s'" % (i + 2, transport, COLOURS[transport]))
            labels.append("$data using ($0+%.4f):%d:(sprintf('%%.3g',$%d)) with labels offset 0,0.6 notitle" % (
                shift, i + 2, i + 2))
        out.append("plot " + ", \\\n ".join(bars + labels))
    curves = _queue_curves(report["runs"], transports)
    out += ["unset logscale y", "set yrange [0:*]", "set style data lines", 'set xlabel "seconds since the migrate command"',
            'set bmargin 5', 'set title "Queue in front of the line, MB (writing guest, first run of each)" offset 0,-0.3', "set xtics auto"]
    for i, curve in enumerate(curves.values()):
        out += ["$queue%d << END" % i, "\n".join("%.3f %.3f" % point for point in curve) or "0 0", "END"]
    if curves:
        out.append("plot " + ", ".join("$queue%d using 1:2 lw 2.5 lc rgb '%s' title '%s'" % (i, COLOURS[t], t)
                                       for i, t in enumerate(curves)))
    out.append("unset multiplot")
    return "\n".join(out) + "\n"


def draw(report, image):
    """Write @image (PNG). Returns its path, or None when there is nothing to draw or no gnuplot."""
    if not shutil.which("gnuplot") or not best_rows(report["medians"]):
        return None
    done = subprocess.run(["gnuplot"], input=script(report, image), capture_output=True, text=True, timeout=60)
    if done.returncode or not os.path.exists(image):
        raise HarnessError("gnuplot: %s" % done.stderr.strip()[:400])
    return image
