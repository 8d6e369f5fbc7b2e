# SPDX-License-Identifier: GPL-2.0-or-later
"""feed.py - drop the operators' files into a watched directory as the day goes

Owner: day.Day.  Thread: its own (Feeder), or the caller's (advance).  Time: agent time, given.  Units: slots of half an hour.

The files are those that `vmm-agent simulate --write` makes: every format of the real operators, with their quirks. What an
operator would have published by now is there, no more: measurements up to the last full half hour, tomorrow's prices after
10:00, tomorrow's forecasts and outlook after 17:00. Each file is replaced as a whole (written beside, then renamed).
"""
import os
import re

PRICES_AT = 20      # 10:00: the day-ahead auction's result
FORECASTS_AT = 34   # 17:00
SLOTS = 48

_DAY = re.compile(rb'^"?(\d{4})[/-]?(\d{1,2})[/-]?(\d{1,2})"?[,\s]')


def day_of_row(row):
    """YYYYMMDD at the beginning of a row, or None (a header, a remark)."""
    found = _DAY.match(row)
    return b"%04d%02d%02d" % tuple(int(part) for part in found.groups()) if found else None


def published(content, day, slots, next_day_too):
    """The rows of @content that exist when @slots half hours of @day (b'YYYYMMDD') are over.

    Rows of earlier days stay, those of @day in proportion, later ones only with @next_day_too. Rows without a date
    (headers) stay.
    """
    rows = content.splitlines(keepends=True)
    today = [index for index, row in enumerate(rows) if day_of_row(row) == day]
    keep = set(today[:len(today) * slots // SLOTS])
    out = []
    for index, row in enumerate(rows):
        date = day_of_row(row)
        if date is None or date < day or index in keep or (date > day and next_day_too):
            out.append(row)
    return b"".join(out)


def kind_of(name):
    """How a file comes into being: 'measured', 'prices', 'forecast' (one file a day, its date in the name)."""
    if name.startswith(("spot_", "spot")):
        return "prices"
    if name.startswith(("eria_jukyu", "imbalance", "interconnection", "realtime")):
        return "measured"
    return "forecast"


def date_in_name(name):
    """YYYYMMDD in a file's name, or None."""
    found = re.search(r"(\d{8})", name)
    return found.group(1) if found else None


class Feeder:
    """@source: directory of complete files; @inbox: the watched one; @day: 'YYYYMMDD'."""

    def __init__(self, source, inbox, day, areas=None):
        self._source = source
        self._inbox = inbox
        self._day = day
        self._areas = areas  # two-digit numbers whose measurements are wanted; None: all
        self._said = {}
        self.files_written = 0

    def _wanted(self, name):
        found = re.match(r"(?:eria_jukyu_\d{6}|realtime_jukyu_\d{8})_(\d\d)\.csv$", name)
        return not (self._areas and found and found.group(1) not in self._areas)

    def _now(self, name, content, slots):
        """What of a file is published, or None."""
        kind, day = kind_of(name), self._day.encode()
        if kind == "prices":
            return published(content, day, SLOTS, slots >= PRICES_AT)
        date = date_in_name(name)
        if kind == "measured" and not date:
            return published(content, day, slots, False)
        if date is None or date < self._day:
            return content
        if kind == "forecast" and (date == self._day or slots >= FORECASTS_AT):
            return content
        return None

    def advance(self, slots):
        """Publish what is known when @slots (0..48) half hours of the day are over. Returns the names that changed."""
        changed = []
        for name in sorted(os.listdir(self._source)):
            if not self._wanted(name):
                continue
            with open(os.path.join(self._source, name), "rb") as file:
                content = self._now(name, file.read(), slots)
            if content is None or self._said.get(name) == content:
                continue
            place = os.path.join(self._inbox, name)
            with open(place + ".part", "wb") as file:
                file.write(content)
            os.rename(place + ".part", place)
            self._said[name] = content
            changed.append(name)
        self.files_written += len(changed)
        return changed
