/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fuzz_yaml.c - libFuzzer target of the configuration reader: any bytes, a tree or a placed error
 */
#include <stdint.h>
#include <stdlib.h>

#include "support/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const known[] = {"store", "sources", NULL};
    struct agent_yaml *root = NULL;
    struct agent_error error = {0};
    const char *text = NULL;
    double number = 0;

    if (agent_yaml_parse((const char *)bytes, size, "fuzz", &root, &error) < 0) {
        if (error.text[0] == '\0') {
            abort();
        }
        return 0;
    }
    agent_yaml_only(root, known, &error);
    agent_yaml_text(root, "store", "", &text, NULL);
    agent_yaml_number(root, "sources", (struct agent_range){0, 1}, 0, &number, NULL);
    agent_yaml_free(root);
    return 0;
}
