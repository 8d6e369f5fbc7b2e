/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "dr/frequency.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#include "support/text.h"

#define NS_PER_S 1e9

int agent_dr_droop_settings_read(const struct agent_yaml *section,
                                 struct agent_dr_droop_settings *settings,
                                 struct agent_error *error)
{
    static const char *const known[] = {"meter",   "nominal_hz", "deadband_hz", "full_hz",
                                        "down_kw", "up_kw",      "step_kw",     "hold_s",
                                        "stale_s", "priority",   "sites",       NULL};
    const struct {
        const char *key;
        double *out;
        double fallback;
        struct agent_range range;
    } numbers[] = {
        {"nominal_hz", &settings->nominal_hz, NAN, {50, 60}},
        {"deadband_hz", &settings->deadband_hz, 0.01, {0, 1}},
        {"full_hz", &settings->full_hz, 0.2, {0.001, 5}},
        {"down_kw", &settings->down_kw, 0, {0, 1e6}},
        {"up_kw", &settings->up_kw, 0, {0, 1e6}},
        {"step_kw", &settings->step_kw, 0, {0, 1e6}},
        {"hold_s", &settings->hold_s, 30, {0, 3600}},
        {"stale_s", &settings->stale_s, 3, {0.2, 3600}},
        {"priority", &settings->priority, 0, {0, 1e6}},
    };

    *settings = (struct agent_dr_droop_settings){0};
    if (section == NULL) {
        return 0;
    }
    int status = agent_yaml_only(section, known, error);
    status = status < 0 ? status : agent_yaml_text(section, "meter", NULL, &settings->meter, error);
    for (size_t index = 0; status == 0 && index < sizeof(numbers) / sizeof(numbers[0]); index++) {
        status = agent_yaml_number(section, numbers[index].key, numbers[index].range,
                                   numbers[index].fallback, numbers[index].out, error);
    }
    settings->sites = agent_yaml_child(section, "sites");
    if (status == 0 && settings->nominal_hz != 50 && settings->nominal_hz != 60) {
        return agent_yaml_fail(section, error, "nominal_hz is %g, expected 50 or 60",
                               settings->nominal_hz);
    }
    if (status == 0 && settings->full_hz <= settings->deadband_hz) {
        return agent_yaml_fail(section, error, "full_hz %g is not above deadband_hz %g",
                               settings->full_hz, settings->deadband_hz);
    }
    if (status == 0 && settings->down_kw + settings->up_kw <= 0) {
        return agent_yaml_fail(section, error, "neither down_kw nor up_kw: nothing is offered");
    }
    return status;
}

double agent_dr_droop_kw(const struct agent_dr_droop_settings *settings, double hz)
{
    double off_hz = hz - settings->nominal_hz;
    double beyond =
        (fabs(off_hz) - settings->deadband_hz) / (settings->full_hz - settings->deadband_hz);

    if (!(beyond > 0)) {
        return 0;
    }
    return fmin(beyond, 1) * (off_hz < 0 ? -settings->down_kw : settings->up_kw);
}

/* Asked-for @kw against the answer in force; growing and turning round is done at once. */
static int weigh(struct agent_dr_droop *droop, double kw, int64_t now_ns)
{
    const struct agent_dr_droop_settings *settings = &droop->settings;
    double limit = kw < 0 ? -settings->down_kw : settings->up_kw;
    bool at_limit = kw != 0 && kw == limit && kw != droop->answer_kw;
    bool more = fabs(kw) > fabs(droop->answer_kw) || kw * droop->answer_kw < 0;

    if (more && (at_limit || fabs(kw - droop->answer_kw) >= settings->step_kw)) {
        droop->answer_kw = kw;
        droop->calmer_ns = 0;
        return 1;
    }
    bool calmer = fabs(kw) < fabs(droop->answer_kw) &&
                  (kw == 0 || fabs(kw - droop->answer_kw) >= settings->step_kw);
    if (!calmer) {
        droop->calmer_ns = 0;
        return 0;
    }
    droop->calmer_ns = droop->calmer_ns == 0 ? now_ns : droop->calmer_ns;
    if ((double)(now_ns - droop->calmer_ns) < settings->hold_s * NS_PER_S) {
        return 0;
    }
    droop->answer_kw = kw;
    droop->calmer_ns = 0;
    return 1;
}

int agent_dr_droop_take(struct agent_dr_droop *droop, double hz, int64_t now_ns)
{
    droop->hz = hz;
    droop->read_ns = now_ns;
    droop->stale = false;
    return weigh(droop, agent_dr_droop_kw(&droop->settings, hz), now_ns);
}

int agent_dr_droop_tick(struct agent_dr_droop *droop, int64_t now_ns)
{
    droop->stale = droop->read_ns == 0 ||
                   (double)(now_ns - droop->read_ns) > droop->settings.stale_s * NS_PER_S;
    return weigh(droop, droop->stale ? 0 : agent_dr_droop_kw(&droop->settings, droop->hz), now_ns);
}

int agent_dr_frequency_parse(const char *text, double nominal_hz, double *hz,
                             struct agent_error *error)
{
    char word[AGENT_DR_METER_TEXT_MAX];
    double found = 0;
    size_t skip = strspn(text, " \t\r\n");
    size_t length = strcspn(text + skip, " \t\r\n");
    size_t rest = strspn(text + skip + length, " \t\r\n");

    if (length == 0 || length >= sizeof(word) || text[skip + length + rest] != '\0') {
        return agent_error_set(error, EINVAL, "frequency: expected one number, found '%.40s'",
                               text + skip);
    }
    memcpy(word, text + skip, length);
    word[length] = '\0';
    if (agent_text_number(word, &found) < 0 || fabs(found - nominal_hz) > 0.1 * nominal_hz) {
        return agent_error_set(error, EINVAL, "frequency: '%.40s' is not within 10 %% of %g Hz",
                               word, nominal_hz);
    }
    *hz = found;
    return 0;
}
