/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "simulate/synth_file.h"

#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <string.h>

int agent_synth_file_open(struct agent_synth_file *file, const char *directory, const char *name)
{
    memset(file, 0, sizeof(*file));
    int length = snprintf(file->path, sizeof(file->path), "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof(file->path)) {
        return -ENAMETOOLONG;
    }
    file->encoding = SYNTH_CP932;
    file->out = open_memstream(&file->text, &file->size);
    return file->out == NULL ? -ENOMEM : 0;
}

/* '\n' to "\r\n". Return: new text (free the old one), NULL = no memory. */
static char *with_returns(const char *text, size_t *size)
{
    char *longer = malloc(*size * 2 + 1);
    size_t used = 0;

    for (size_t i = 0; longer != NULL && i < *size; i++) {
        if (text[i] == '\n') {
            longer[used++] = '\r';
        }
        longer[used++] = text[i];
    }
    *size = used;
    return longer;
}

static int to_cp932(char **text, size_t *size)
{
    iconv_t converter = iconv_open("CP932", "UTF-8");
    size_t room = *size + 1;
    size_t left = *size;
    char *from = *text;
    char *converted = malloc(room);
    char *to = converted;

    if (converter == (iconv_t)-1 || converted == NULL) {
        free(converted);
        return converter == (iconv_t)-1 ? -ENOSYS : -ENOMEM;
    }
    size_t result = iconv(converter, &from, &left, &to, &room);
    iconv_close(converter);
    if (result == (size_t)-1) {
        free(converted);
        return -EILSEQ;
    }
    *size = (size_t)(to - converted);
    free(*text);
    *text = converted;
    return 0;
}

static int save(const struct agent_synth_file *file)
{
    FILE *disk = fopen(file->path, "wb");

    if (disk == NULL) {
        return -errno;
    }
    bool bom = file->encoding == SYNTH_UTF8_BOM;
    size_t wrote = bom ? fwrite("\xef\xbb\xbf", 1, 3, disk) : 3;
    wrote += fwrite(file->text, 1, file->size, disk);
    int closed = fclose(disk);
    return wrote == file->size + 3 && closed == 0 ? 0 : -EIO;
}

int agent_synth_file_close(struct agent_synth_file *file, struct agent_error *error)
{
    int result = file->out != NULL && fclose(file->out) == 0 ? 0 : -ENOMEM;

    if (result == 0 && file->crlf) {
        char *longer = with_returns(file->text, &file->size);
        result = longer == NULL ? -ENOMEM : 0;
        if (longer != NULL) {
            free(file->text);
            file->text = longer;
        }
    }
    if (result == 0 && file->encoding == SYNTH_CP932) {
        result = to_cp932(&file->text, &file->size);
    }
    if (result == 0) {
        result = save(file);
    }
    if (result != 0) {
        agent_error_set(error, result, "synthetic file %.400s: %s", file->path, strerror(-result));
    }
    free(file->text);
    file->text = NULL;
    file->out = NULL;
    return result;
}
