/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/svg.h"

#include <math.h>

#define WIDTH    880
#define HEIGHT   300
#define LEFT     56
#define RIGHT    16
#define TOP      34
#define BOTTOM   58
#define PLOT_W   (WIDTH - LEFT - RIGHT)
#define PLOT_H   (HEIGHT - TOP - BOTTOM)
#define BAR_STEP 26
#define BAR_LEFT 190
#define BAR_W    500

/* Told apart by people who see few colours as well (after Okabe and Ito). */
static const char *const colours[] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                      "#56b4e9", "#d55e00", "#8a7a00", "#555555"};

static const char *colour(size_t index)
{
    return colours[index % (sizeof(colours) / sizeof(colours[0]))];
}

void agent_html_text(const char *text, FILE *out)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            fputs("&lt;", out);
            break;
        case '>':
            fputs("&gt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        case '"':
            fputs("&quot;", out);
            break;
        default:
            fputc(*text, out);
            break;
        }
    }
}

/* The next round number from @value up whose quarters are round as well. */
static double nice(double value)
{
    static const double steps[] = {1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10};
    double power = value > 0.0 ? pow(10.0, floor(log10(value))) : 1.0;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i] * power >= value * 0.999999) {
            return steps[i] * power;
        }
    }
    return 10.0 * power;
}

static double largest(const struct agent_svg_chart *chart)
{
    double most = chart->top;

    for (size_t i = 0; i < chart->count; i++) {
        double sum = 0.0;
        for (size_t k = 0; k < chart->line_count; k++) {
            double value = chart->lines[k].value[i];
            bool area = chart->stacked && !chart->lines[k].dashed;
            if (!isfinite(value)) {
                continue;
            }
            sum += area ? value : 0.0;
            most = fmax(most, area ? sum : value);
        }
    }
    return nice(most);
}

static double x_at(const struct agent_svg_chart *chart, size_t i)
{
    return LEFT + PLOT_W * ((double)i + 0.5) / (double)chart->count;
}

static double y_at(double value, double top)
{
    return TOP + PLOT_H * (1.0 - value / top);
}

static void axes(const struct agent_svg_chart *chart, double top, FILE *out)
{
    fprintf(out, "<text class=\"t\" x=\"%d\" y=\"18\">", LEFT);
    agent_html_text(chart->title, out);
    fputs("</text>\n", out);
    for (int k = 0; k <= 4; k++) {
        double value = top * k / 4.0;
        fprintf(out,
                "<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                "<text class=\"y\" x=\"%d\" y=\"%.1f\">%.4g</text>\n",
                LEFT, WIDTH - RIGHT, y_at(value, top), y_at(value, top), LEFT - 6,
                y_at(value, top) + 4, value);
    }
    fprintf(out, "<text class=\"y\" x=\"%d\" y=\"%d\">", LEFT - 6, TOP - 10);
    agent_html_text(chart->unit, out);
    fputs("</text>\n", out);
    for (size_t k = 0; k < chart->mark_count; k++) {
        double x = LEFT + PLOT_W * (double)k / (double)chart->mark_count;
        fprintf(out, "<text class=\"x\" x=\"%.1f\" y=\"%d\">", x, HEIGHT - BOTTOM + 16);
        agent_html_text(chart->marks[k], out);
        fputs("</text>\n", out);
    }
}

static void legend(const struct agent_svg_chart *chart, FILE *out)
{
    double x = LEFT;

    for (size_t k = 0; k < chart->line_count; k++) {
        fprintf(out,
                "<rect x=\"%.0f\" y=\"%d\" width=\"14\" height=\"%d\" fill=\"%s\"/>"
                "<text class=\"l\" x=\"%.0f\" y=\"%d\">",
                x, HEIGHT - 18 - (chart->lines[k].dashed ? -3 : 0), chart->lines[k].dashed ? 3 : 10,
                colour(k), x + 19, HEIGHT - 9);
        agent_html_text(chart->lines[k].label, out);
        fputs("</text>\n", out);
        size_t letters = 0;
        while (chart->lines[k].label[letters] != '\0') {
            letters++;
        }
        x += 40 + 7.0 * (double)letters;
    }
}

static void line(const struct agent_svg_chart *chart, size_t k, double top, FILE *out)
{
    const char *command = "M";

    fprintf(out, "<path class=\"%s\" stroke=\"%s\" d=\"", chart->lines[k].dashed ? "d" : "s",
            colour(k));
    for (size_t i = 0; i < chart->count; i++) {
        double value = chart->lines[k].value[i];
        if (!isfinite(value)) {
            command = "M";
            continue;
        }
        fprintf(out, "%s%.1f %.1f", command, x_at(chart, i), y_at(value, top));
        command = "L";
    }
    fputs("\"/>\n", out);
}

/* Sum of the areas below number @k at point @i. */
static double below(const struct agent_svg_chart *chart, size_t k, size_t i)
{
    double sum = 0.0;

    for (size_t j = 0; j < k; j++) {
        double value = chart->lines[j].value[i];
        sum += !chart->lines[j].dashed && isfinite(value) ? value : 0.0;
    }
    return sum;
}

static void area(const struct agent_svg_chart *chart, size_t k, double top, FILE *out)
{
    fprintf(out, "<path fill=\"%s\" fill-opacity=\"0.75\" d=\"", colour(k));
    for (size_t i = 0; i < chart->count; i++) {
        fprintf(out, "%s%.1f %.1f", i == 0 ? "M" : "L", x_at(chart, i),
                y_at(below(chart, k + 1, i), top));
    }
    for (size_t i = chart->count; i-- > 0;) {
        fprintf(out, "L%.1f %.1f", x_at(chart, i), y_at(below(chart, k, i), top));
    }
    fputs("Z\"/>\n", out);
}

void agent_svg_lines(const struct agent_svg_chart *chart, FILE *out)
{
    double top = largest(chart);

    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, HEIGHT);
    agent_html_text(chart->title, out);
    fputs("\">\n", out);
    axes(chart, top, out);
    for (size_t k = 0; chart->stacked && k < chart->line_count; k++) {
        if (!chart->lines[k].dashed) {
            area(chart, k, top, out);
        }
    }
    for (size_t k = 0; k < chart->line_count; k++) {
        if (!chart->stacked || chart->lines[k].dashed) {
            line(chart, k, top, out);
        }
    }
    legend(chart, out);
    fputs("</svg>\n", out);
}

void agent_svg_bars(const char *title, const struct agent_svg_bar *bars, size_t count, FILE *out)
{
    double most = 0.0;
    int height = TOP + (int)count * BAR_STEP + 10;

    for (size_t i = 0; i < count; i++) {
        most = isfinite(bars[i].value) ? fmax(most, bars[i].value) : most;
    }
    fprintf(out, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"", WIDTH, height);
    agent_html_text(title, out);
    fprintf(out, "\">\n<text class=\"t\" x=\"%d\" y=\"18\">", LEFT);
    agent_html_text(title, out);
    fputs("</text>\n", out);
    for (size_t i = 0; i < count; i++) {
        double share = most > 0.0 && bars[i].value > 0.0 ? bars[i].value / most : 0.0;
        int y = TOP + (int)i * BAR_STEP;
        fprintf(out, "<text class=\"b\" x=\"%d\" y=\"%d\">", BAR_LEFT - 8, y + 14);
        agent_html_text(bars[i].label, out);
        fprintf(out,
                "</text><rect x=\"%d\" y=\"%d\" width=\"%.1f\" height=\"18\" fill=\"%s\"/>"
                "<text class=\"l\" x=\"%.1f\" y=\"%d\">",
                BAR_LEFT, y, BAR_W * share, bars[i].strong ? colours[0] : "#9aa7b1",
                BAR_LEFT + BAR_W * share + 6, y + 14);
        agent_html_text(bars[i].text, out);
        fputs("</text>\n", out);
    }
    fputs("</svg>\n", out);
}
