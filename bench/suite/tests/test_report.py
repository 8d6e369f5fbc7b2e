# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the suite: the report: page, Markdown, plots.

run: python3 -m unittest discover -s bench/suite/tests -t bench
"""
import html.parser
import json
import unittest

from report import markdown, page, svg
from suite import rows
from suite.tests.scene import small, run


class _Tags(html.parser.HTMLParser):
    VOID = {"meta", "line", "circle", "path", "i"}

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.links = [], [], []

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta",):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


class Report(unittest.TestCase):
    def records(self):
        chosen = small()
        found = [{"kind": "header", "machine": {"host": "h<1>", "commit": "c", "cpus": 2}},
                 {"kind": "calibration", "copy_gbps": 80, "loopback": {"gbps": None, "why": "not built"}, "first_touch_s_per_gib": 0.1,
                  "wake_up_ms": {"p50": 0.1, "p99": 0.2, "max": 0.3}, "load": [0.1, 0.2, 0.3]},
                 {"kind": "path", "path": chosen.cells[0].path_name, "iperf1_gbps": 2.4, "iperf4_gbps": None, "rtt_ms": 6.0, "wrong": []},
                 {"kind": "simulated", "what": "fleet", "rate_gbps": 100, "rtt_ms": 6, "guest_gib": 1, "dirty_gbps": 0, "count": 10, "total_s": 1,
                  "line_share": 0.9, "blackout_p50_ms": 10, "blackout_p99_ms": 20, "blackout_max_ms": 30, "fairness": 0.99},
                 {"kind": "simulated", "what": "fleet", "rate_gbps": 100, "rtt_ms": 6, "guest_gib": 1, "dirty_gbps": 0, "count": 100,
                  "why": "it does not converge"}]
        return chosen, found + [run(cell, repeat=i) for i, cell in enumerate(chosen.cells)]

    def test_page_is_whole_and_loads_nothing(self):
        chosen, records = self.records()
        text = page.render(rows.build(chosen, records), records)
        tags = _Tags()
        tags.feed(text)
        self.assertEqual((tags.wrong, tags.open, tags.links), ([], [], []))
        self.assertNotIn("<b>", text)  # from a command line
        self.assertIn("h&lt;1&gt;", text)
        self.assertIn("Simulated", text)
        self.assertIn("prefers-color-scheme:dark", text)

    def test_markdown_has_every_row(self):
        chosen, records = self.records()
        text = markdown.render(rows.build(chosen, records))
        for cell in chosen.cells:
            self.assertIn("| %s | %s |" % (cell.guest_name, cell.transport), text)
        self.assertIn("SIMULATED", text)
        self.assertIn("it does not converge", text)

    def test_numbers_are_short_and_never_in_powers_of_ten(self):
        self.assertEqual([markdown.cell(value) for value in (None, 12, 1.2345, 99.96, 999.7, 12345.6)],
                         ["–", "12", "1.23", "100", "1000", "12346"])
        self.assertEqual(markdown.cell(287.3, 2), "287")

    def test_report_of_nothing(self):
        chosen = small()
        report = rows.build(chosen, [])
        self.assertIn("not run", markdown.render(report))
        self.assertIn("no clean figures to draw", page.render(report, []))
        json.dumps(report)

    def test_axes(self):
        axis = svg.Axis([0, 87], 0, 100)
        self.assertEqual((axis.high, axis.ticks()), (100, [0, 20, 40, 60, 80, 100]))
        axis = svg.Axis([3, 400], 0, 300, "log")
        self.assertEqual((axis.low, axis.high, round(axis.at(10), 9)), (1, 1000, 100))
        self.assertEqual(svg.Axis([0, 0], 0, 1).high, 1)
        self.assertEqual(svg.nice_step(0), 1)

    def test_stairs(self):
        self.assertEqual(svg.cumulative([3, 1]), [(1, 0.0), (1, 0.5), (3, 1.0)])
        self.assertEqual(svg.cumulative([]), [])


if __name__ == "__main__":
    unittest.main()
