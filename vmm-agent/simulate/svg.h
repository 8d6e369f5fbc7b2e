/* SPDX-License-Identifier: GPL-2.0-or-later */
/* svg.h - line and bar charts as inline SVG
 * Owner: plain functions on borrowed arrays.   Thread: one.
 * Time:  none.   Units: as the caller's labels say. */
#ifndef AGENT_SIMULATE_SVG_H
#define AGENT_SIMULATE_SVG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define AGENT_SVG_LINES_MAX 24

/** struct agent_svg_line - @value: @count floats, NAN = gap; @dashed for references */
struct agent_svg_line {
    const char *label;
    const float *value;
    bool dashed;
};

/** struct agent_svg_chart - @count points over the x axis; @marks labels spread evenly below it
 * @stacked: lines are areas on top of each other (dashed ones stay lines); @top: least upper end
 * of the y axis */
struct agent_svg_chart {
    const char *title;
    const char *unit;
    size_t count;
    size_t line_count;
    struct agent_svg_line lines[AGENT_SVG_LINES_MAX];
    size_t mark_count;
    const char *const *marks;
    bool stacked;
    double top;
};

/** agent_svg_lines() - print the chart to @out */
void agent_svg_lines(const struct agent_svg_chart *chart, FILE *out);

/** struct agent_svg_bar - @text: shown at its end, such as "33.0 %" */
struct agent_svg_bar {
    char label[48];
    char text[48];
    double value;
    bool strong;
};

/** agent_svg_bars() - horizontal bars from 0; negative values are drawn as 0 */
void agent_svg_bars(const char *title, const struct agent_svg_bar *bars, size_t count, FILE *out);

/** agent_html_text() - @text with <, >, & and quotes escaped */
void agent_html_text(const char *text, FILE *out);

#endif
