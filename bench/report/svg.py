# SPDX-License-Identifier: GPL-2.0-or-later
"""svg.py - charts as inline SVG, coloured by the page's style sheet so that they are legible on light and on dark

Owner: page.  Thread: any.  Time: none.  Units: as labelled by the caller.

Series get the classes s0..s7; page.py gives those colours. A chart without points says so instead of drawing an empty frame.
"""
import html
import math

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 14, 46
SERIES_MAX = 8
TICKS = 5


def nice_step(span, ticks=TICKS):
    """A step of 1, 2 or 5 times a power of ten that cuts @span into about @ticks pieces."""
    if span <= 0:
        return 1.0
    raw = span / ticks
    power = 10 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if raw <= factor * power * 1.0001:
            return factor * power
    return 10 * power


def number(value):
    """Short and exact enough for an axis."""
    if value == 0:
        return "0"
    if abs(value) >= 1e6 or abs(value) < 1e-3:
        return "%.3g" % value
    return "%g" % float("%.4g" % value)


class Axis:
    """Values onto pixels. @kind: 'linear' (from 0 unless @low) or 'log'."""

    def __init__(self, values, first, last, kind="linear", low=None, high=None):
        self.first, self.last, self.kind = first, last, kind
        values = [value for value in values if value is not None and (kind != "log" or value > 0)]
        self.low = low if low is not None else (0 if kind == "linear" else min(values, default=1))
        self.high = high if high is not None else max(values, default=1)
        if kind == "log":
            self.low = 10 ** math.floor(math.log10(self.low) + 1e-9)
            self.high = 10 ** math.ceil(math.log10(max(self.high, self.low * 1.01)) - 1e-9)
        elif self.high <= self.low:
            self.high = self.low + 1
        else:
            step = nice_step(self.high - self.low)
            self.high = math.ceil(self.high / step - 1e-9) * step

    def at(self, value):
        if self.kind == "log":
            share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)

    def ticks(self):
        if self.kind == "log":
            found, value = [], self.low
            while value <= self.high * 1.0001:
                found.append(value)
                value *= 10
            return found
        step = nice_step(self.high - self.low)
        count = int((self.high - self.low) / step + 1.0001)
        return [self.low + step * i for i in range(count)]


def _text(x, y, words, anchor="middle", more=""):
    return '<text x="%.1f" y="%.1f" text-anchor="%s"%s>%s</text>' % (x, y, anchor, more, html.escape(str(words)))


def _frame(x, y, x_label, y_label):
    """Grid, ticks and labels of both axes."""
    out = []
    for value in y.ticks():
        at = y.at(value)
        out.append('<line class="grid" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>' % (LEFT, WIDTH - RIGHT, at, at))
        out.append(_text(LEFT - 6, at + 4, number(value), "end"))
    for value in x.ticks():
        at = x.at(value)
        out.append('<line class="tick" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>' % (at, at, HEIGHT - BOTTOM, HEIGHT - BOTTOM + 4))
        out.append(_text(at, HEIGHT - BOTTOM + 17, number(value)))
    out.append('<line class="axis" x1="%d" x2="%d" y1="%d" y2="%d"/>' % (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM))
    out.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_label, more=' class="label"'))
    out.append('<text class="label" text-anchor="middle" transform="translate(14 %d) rotate(-90)">%s</text>' % (
        (TOP + HEIGHT - BOTTOM) / 2, html.escape(y_label)))
    return out


def _legend(names):
    """Above the picture, as HTML, so that long names wrap."""
    return '<div class="legend">%s</div>' % "".join(
        '<span><i class="s%d"></i>%s</span>' % (i % SERIES_MAX, html.escape(name)) for i, name in enumerate(names))


def chart(title, series, x_label, y_label, **how):
    """A <figure> with lines. @series: [(name, [(x, y)])].

    @how: x_kind, y_kind ('linear' or 'log'), step (draw stairs), points (mark each), marks ([(x, words)]: vertical lines),
          note (under the title), y_high
    """
    head = '<figure><figcaption>%s%s</figcaption>' % (
        html.escape(title), "<small>%s</small>" % html.escape(how["note"]) if how.get("note") else "")
    positive = how.get("y_kind") == "log"
    series = [(name, [(px, py) for px, py in points if py is not None and (not positive or py > 0)]) for name, points in series]
    series = [(name, points) for name, points in series if points][:SERIES_MAX]
    if not series:
        return head + '<p class="none">no clean figures to draw</p></figure>'
    xs, ys = ([point[i] for _, points in series for point in points] for i in (0, 1))
    x = Axis(xs + [mark[0] for mark in how.get("marks", [])], LEFT, WIDTH - RIGHT, how.get("x_kind", "linear"))
    y = Axis(ys, HEIGHT - BOTTOM, TOP, how.get("y_kind", "linear"), high=how.get("y_high"))
    out = [head, _legend([name for name, _ in series]), '<svg viewBox="0 0 %d %d" role="img" aria-label="%s">' % (
        WIDTH, HEIGHT, html.escape(title, quote=True))]
    out += _frame(x, y, x_label, y_label)
    for i, (at, words) in enumerate(how.get("marks", [])):
        out.append('<line class="mark" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>' % (x.at(at), x.at(at), TOP, HEIGHT - BOTTOM))
        right = x.at(at) > (LEFT + WIDTH) / 2
        out.append(_text(x.at(at) + (-4 if right else 4), TOP + 11 + 13 * (i % 3), words, "end" if right else "start"))
    for i, (name, points) in enumerate(series):
        out.append(_line(i, points, x, y, how.get("step"), how.get("points")))
    out.append("</svg></figure>")
    return "".join(out)


def _line(index, points, x, y, step, marked):
    path, previous = [], None
    for px, py in points:
        if step and previous is not None:
            path.append("L%.1f %.1f" % (x.at(px), y.at(previous)))
        path.append("%s%.1f %.1f" % ("L" if path else "M", x.at(px), y.at(py)))
        previous = py
    out = '<path class="line s%d" d="%s"/>' % (index % SERIES_MAX, "".join(path))
    if marked:
        out += "".join('<circle class="dot s%d" cx="%.1f" cy="%.1f" r="3.5"/>' % (index % SERIES_MAX, x.at(px), y.at(py))
                       for px, py in points)
    return out


def cumulative(values):
    """Points of the share of values at or below x, as stairs from 0 to 1."""
    values = sorted(value for value in values if value is not None)
    points = [(values[0], 0.0)] if values else []
    return points + [(value, (i + 1) / len(values)) for i, value in enumerate(values)]
