/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* main.c - conformance BACKEND [traffic|peers|faults|reads [FILTERS]]: the contract of apnmig/backend.h,
 * for any backend BACKEND: loop, loop-virtual, uring, rdma, ... Exit: 0, 1 = failed, 77 = the backend
 * cannot run here. */
#include <errno.h>

#include "conformance/harness.h"

const char *conf_backend;
const char *conf_filters;
const char *conf_host = "127.0.0.1";
unsigned conf_slow = 1;

/* Return: 0 when the backend can be made here. */
static int probe(void)
{
    struct apn_backend_config config = {
        .clock = &apn_clock_monotonic, .host = conf_host, .port = "0"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};
    int ret;

    if (!strncmp(conf_backend, "loop", 4)) {
        return 0;
    }
    ret = apn_backend_new(&be, conf_backend, NULL, &config, &err);
    if (ret) {
        fprintf(stderr, "conformance: %s\n", err.text);
        return ret == -ENOENT ? 1 : 77;
    }
    be->ops->free(be);
    return 0;
}

int main(int argc, char **argv)
{
    const char *part = argc > 2 ? argv[2] : "all";
    bool all = !strcmp(part, "all");
    int failed = 0, ret;

    if (argc < 2) {
        fprintf(stderr, "usage: conformance BACKEND [all|traffic|peers|faults|reads [FILTERS]]\n");
        return 2;
    }
    conf_backend = argv[1];
    if (getenv("CONFORMANCE_HOST")) {
        conf_host = getenv("CONFORMANCE_HOST");
    }
    if (getenv("CONFORMANCE_SLOW")) {
        conf_slow = (unsigned)atoi(getenv("CONFORMANCE_SLOW"));
        conf_slow = conf_slow < 1 || conf_slow > 100 ? 1 : conf_slow;
    }
    conf_filters = argc > 3 ? argv[3] : NULL;
    ret = probe();
    if (ret) {
        return ret;
    }
    failed += all || !strcmp(part, "traffic") ? conf_run_traffic() : 0;
    failed += all || !strcmp(part, "peers") ? conf_run_peers() : 0;
    failed += all || !strcmp(part, "faults") ? conf_run_faults() : 0;
    failed += all || !strcmp(part, "reads") ? conf_run_reads() : 0;
    return failed ? 1 : 0;
}
