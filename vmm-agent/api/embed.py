#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""embed - files as C arrays with type and digest: embed.py OUTPUT.c FILE...

Owner: the build.  Thread: main.  Time: none.  Units: bytes.
"""
import hashlib
import os
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


def array(number, content):
    lines = [content[at:at + 32] for at in range(0, len(content), 32)]
    return "static const unsigned char file_%d[] = {\n%s};\n" % (
        number, "".join("    %s,\n" % ",".join(str(byte) for byte in line) for line in lines))


def main():
    output, paths = sys.argv[1], sys.argv[2:]
    rows = []
    with open(output, "w", encoding="utf-8") as out:
        out.write('#include "api/embedded.h"\n\n#include <string.h>\n\n')
        for number, path in enumerate(paths):
            with open(path, "rb") as file:
                content = file.read()
            if not content:
                sys.exit("embed: %s is empty" % path)
            out.write(array(number, content))
            rows.append('    {"%s", "%s", "\\"%s\\"", file_%d, %d},\n' % (
                os.path.basename(path), TYPES[os.path.splitext(path)[1]],
                hashlib.sha256(content).hexdigest()[:16], number, len(content)))
        out.write("static const struct agent_embedded files[] = {\n%s};\n" % "".join(rows))
        out.write("""
const struct agent_embedded *agent_embedded_find(const char *name)
{
    for (size_t index = 0; index < sizeof(files) / sizeof(files[0]); index++) {
        if (strcmp(files[index].name, name) == 0) {
            return &files[index];
        }
    }
    return NULL;
}
""")


if __name__ == "__main__":
    main()
