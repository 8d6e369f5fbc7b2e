# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the day: what is published when.

run: python3 -m unittest discover -s bench/day/tests -t bench
"""
import os
import tempfile
import unittest

from day import feed, harm, report, use


def rows(day, count, form="%s,%d,1\n"):
    return "".join(form % (day, index + 1) for index in range(count))


class Published(unittest.TestCase):
    def test_measurements_grow_with_the_day(self):
        content = ("head\n" + rows("2025/5/2", 48) + rows("2025/5/3", 48) + rows("2025/5/4", 48)).encode()
        out = feed.published(content, b"20250503", 10, False)
        self.assertEqual(out.count(b"2025/5/2"), 48)
        self.assertEqual(out.count(b"2025/5/3"), 10)
        self.assertEqual(out.count(b"2025/5/4"), 0)
        self.assertTrue(out.startswith(b"head\n"))

    def test_quoted_dates_and_five_minute_rows(self):
        content = rows("20250503", 288, '"%s","%d"\r\n').encode()
        self.assertEqual(feed.published(content, b"20250503", 1, False).count(b"\n"), 6)

    def test_prices_of_tomorrow_come_at_ten(self):
        with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as inbox:
            with open(os.path.join(source, "spot_summary_2025.csv"), "w", encoding="ascii") as file:
                file.write("h\n" + rows("2025/05/03", 48) + rows("2025/05/04", 48))
            with open(os.path.join(source, "kansai_yosoku_20250504.csv"), "w", encoding="ascii") as file:
                file.write("tomorrow\n")
            feeder = feed.Feeder(source, inbox, "20250503")
            self.assertEqual(feeder.advance(0), ["spot_summary_2025.csv"])
            self.assertEqual(feeder.advance(feed.PRICES_AT - 1), [])
            self.assertEqual(feeder.advance(feed.PRICES_AT), ["spot_summary_2025.csv"])
            self.assertEqual(feeder.advance(feed.FORECASTS_AT), ["kansai_yosoku_20250504.csv"])
            self.assertEqual(sorted(os.listdir(inbox)), ["kansai_yosoku_20250504.csv", "spot_summary_2025.csv"])

    def test_only_wanted_areas(self):
        with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as inbox:
            for area in ("01", "09"):
                with open(os.path.join(source, "eria_jukyu_202505_%s.csv" % area), "w", encoding="ascii") as file:
                    file.write(rows("20250503", 48))
            self.assertEqual(feed.Feeder(source, inbox, "20250503", ["09"]).advance(5), ["eria_jukyu_202505_09.csv"])


class Answers(unittest.TestCase):
    CALL = {"site": "a", "asked_kw": 3.0, "at": 10.0, "power_before_kw": 8.0}

    def test_the_first_sample_that_is_low_enough_counts(self):
        samples = [{"at": 9.0, "power_kw": {"a": 1.0}}, {"at": 10.2, "power_kw": {"a": 6.0}}, {"at": 10.4, "error": "away"},
                   {"at": 11.5, "power_kw": {"a": 5.0}}]
        self.assertEqual(report.answer_s(samples, self.CALL), 1.5)

    def test_no_answer_is_none(self):
        self.assertIsNone(report.answer_s([{"at": 12.0, "power_kw": {"a": 5.1}}], self.CALL))


class Use(unittest.TestCase):
    @staticmethod
    def state(where, surplus):
        """Two sites, a host of 1 kW and then 2 kW a guest; PUE 1 and 1.5."""
        power = {site: 1.0 + 2.0 * sum(at == site for at in where.values()) for site in "ab"}
        return {"sites": [{"name": "a", "paper": False, "power_kw": power["a"], "surplus_kw": surplus[0]},
                          {"name": "b", "paper": False, "power_kw": power["b"] * 1.5, "surplus_kw": surplus[1]},
                          {"name": "c", "paper": True, "power_kw": 0.0, "surplus_kw": 50.0}],
                "hosts": [{"site": site, "power_w": power[site] * 1000} for site in "ab"],
                "vms": [{"name": name, "site": at, "power_w": 2000.0} for name, at in where.items()]}

    def samples(self, *states):
        return [{"at": float(at), "use": use.of_state(state)} for at, state in enumerate(states)] + [{"at": float(len(states))}]

    def test_by_hand(self):
        found = use.shares(self.samples(self.state({"x": "a", "y": "b"}, (5.0, 0.0))))
        # a 3, b 3 x 1.5: 3 of 7.5; both at a: 5 of 6.5; evenly the same as here
        self.assertEqual(found, {"uniform": 0.4, "best_static": round(5 / 6.5, 4), "oracle": round(5 / 6.5, 4), "agent": 0.4})

    def test_following_beats_staying_and_nothing_beats_the_oracle(self):
        states = [self.state({"x": "a", "y": "a"}, (5.0, 0.0)), self.state({"x": "b", "y": "b"}, (0.0, 7.5)),
                  self.state({"x": "b", "y": "a"}, (0.0, 7.5))]
        found = use.shares(self.samples(*states))
        self.assertLess(found["best_static"], found["agent"])
        self.assertLess(found["agent"], found["oracle"])
        self.assertEqual(found["oracle"], round((5 + 7.5 + 7.5) / (6.5 + 8.5 + 8.5), 4))

    def test_the_agent_was_away(self):
        samples = self.samples(self.state({"x": "a"}, (5.0, 0.0)))
        samples[1]["at"] = 60.0
        self.assertEqual(set(use.shares(samples).values()), {None})


class Harm(unittest.TestCase):
    def test_words(self):
        self.assertEqual(harm.parse("agent=2,path=1"), {"agent": 2, "path": 1})
        for wrong in ("dog=1", "agent", "agent=-1", "path=1000"):
            self.assertRaises(ValueError, harm.parse, wrong)


if __name__ == "__main__":
    unittest.main()
