/* SPDX-License-Identifier: GPL-2.0-or-later */
/* source_files.c - a file read again when it changed; a directory watched with inotify
 * Owner: see source.h.   Thread: the polling one.
 * Time:  now_s.          Units: seconds.
 *
 * A file being written is not read: a directory waits for its writer to close it or for a move
 * into place. Names beginning with a dot and ending in .tmp, .part or ~ are somebody's work. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "grid/adapter.h"
#include "grid/source_private.h"
#include "support/file.h"

#define EVENTS_SIZE 16384
#define NAMES_MAX   4096 /* files of one directory that are remembered as read */

struct seen {
    char *path;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct file_source {
    struct agent_source base;
    bool scanned;
    size_t count;
    struct seen seen[NAMES_MAX];
};

static struct file_source *files_of(struct agent_source *source)
{
    return (struct file_source *)source;
}

static void close_files(struct agent_source *source)
{
    struct file_source *files = files_of(source);

    for (size_t index = 0; index < files->count; index++) {
        free(files->seen[index].path);
    }
    if (source->fd >= 0) {
        close(source->fd);
    }
    free(files);
}

static struct seen *slot_of(struct file_source *files, const char *path)
{
    for (size_t index = 0; index < files->count; index++) {
        if (strcmp(files->seen[index].path, path) == 0) {
            return &files->seen[index];
        }
    }
    if (files->count == NAMES_MAX) { /* forget the oldest: at worst it is read once more */
        free(files->seen[0].path);
        files->count--;
        memmove(&files->seen[0], &files->seen[1], files->count * sizeof(files->seen[0]));
    }
    struct seen *slot = &files->seen[files->count];
    slot->path = strdup(path);
    if (slot->path == NULL) {
        return NULL;
    }
    *slot = (struct seen){slot->path, 0, -1, {0, 0}};
    files->count++;
    return slot;
}

static void tell(const struct agent_sink *sink, int code, const char *path, const char *doing)
{
    struct agent_error error = {0};

    agent_error_at(&error, code, (struct agent_place){path, 0, 0}, "cannot %s: %s", doing,
                   strerror(code));
    sink->problem(sink->opaque, &error);
}

/* Reads @path unless it is as it was. Return: batches (0 or 1), -errno of the sink. */
static int read_changed(struct file_source *files, const char *path, int64_t now_s,
                        const struct agent_sink *sink)
{
    struct agent_error error = {0};
    struct stat status;
    char *bytes = NULL;
    size_t size = 0;
    struct seen *slot = slot_of(files, path);

    if (slot == NULL) {
        tell(sink, ENOMEM, path, "remember the file");
        return 0;
    }
    if (stat(path, &status) < 0) {
        tell(sink, errno, path, "read");
        return 0;
    }
    bool same = slot->size == status.st_size && slot->inode == status.st_ino &&
                slot->changed.tv_sec == status.st_mtim.tv_sec &&
                slot->changed.tv_nsec == status.st_mtim.tv_nsec;
    if (same || !S_ISREG(status.st_mode)) {
        return 0;
    }
    if (agent_file_read(path, AGENT_INPUT_MAX_BYTES, &bytes, &size, &error) < 0) {
        sink->problem(sink->opaque, &error);
        return 0;
    }
    int given = source_give(&files->base, path, bytes, size, now_s, sink);
    free(bytes);
    if (given >= 0) { /* a bad file is told once, not at every poll */
        slot->size = status.st_size;
        slot->inode = status.st_ino;
        slot->changed = status.st_mtim;
    }
    return given;
}

static int poll_file(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    source->due_s = now_s + (int64_t)source->config.poll_s;
    return read_changed(files_of(source), source->config.location, now_s, sink);
}

static bool is_work(const char *name)
{
    static const char *const ends[] = {".tmp", ".part", "~"};
    size_t length = strlen(name);

    for (size_t index = 0; index < 3; index++) {
        size_t end = strlen(ends[index]);
        if (length >= end && strcmp(name + length - end, ends[index]) == 0) {
            return true;
        }
    }
    return name[0] == '.';
}

static int read_member(struct file_source *files, const char *name, int64_t now_s,
                       const struct agent_sink *sink)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s", files->base.config.location, name);

    if (is_work(name) || length >= (int)sizeof(path)) {
        return 0;
    }
    return read_changed(files, path, now_s, sink);
}

static int watch(const struct file_source *files)
{
    return inotify_add_watch(files->base.fd, files->base.config.location,
                             IN_CLOSE_WRITE | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF |
                                 IN_ONLYDIR);
}

/* Everything in the directory, by name, so that the order does not depend on the file system. */
static int scan(struct file_source *files, int64_t now_s, const struct agent_sink *sink)
{
    struct dirent **names = NULL;
    /* Again, because a directory that was removed and made anew is another one; and before the
     * list is read, so that nothing falls between the two. */
    bool watched = watch(files) >= 0;
    int count = watched ? scandir(files->base.config.location, &names, NULL, alphasort) : -1;
    int given = 0;

    if (count < 0) {
        tell(sink, errno, files->base.config.location, "list");
        return 0;
    }
    for (int index = 0; index < count; index++) {
        if (given >= 0) {
            int status = read_member(files, names[index]->d_name, now_s, sink);
            given = status < 0 ? status : given + status;
        }
        free(names[index]);
    }
    free(names);
    files->scanned = given >= 0;
    return given;
}

static int poll_directory(struct agent_source *source, int64_t now_s, const struct agent_sink *sink)
{
    struct file_source *files = files_of(source);
    char events[EVENTS_SIZE] __attribute__((aligned(__alignof__(struct inotify_event))));
    int given = 0;
    ssize_t size = 0;

    source->due_s = INT64_MAX;
    while (given >= 0 && (size = read(source->fd, events, sizeof(events))) > 0) {
        for (char *at = events; at < events + size && given >= 0;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            at += sizeof(*event) + event->len;
            if ((event->mask & (IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF)) != 0) {
                files->scanned = false; /* events were lost, or the directory went away */
            } else if (files->scanned && event->len > 0) {
                int status = read_member(files, event->name, now_s, sink);
                given = status < 0 ? status : given + status;
            }
        }
    }
    if (given >= 0 && !files->scanned) {
        int status = scan(files, now_s, sink);
        given = status < 0 ? status : given + status;
    }
    if (!files->scanned) {
        source->due_s = now_s + (int64_t)source->config.poll_s;
    }
    return given;
}

static struct file_source *new_files(const struct agent_source_config *config,
                                     const struct source_ops *ops)
{
    struct file_source *files = calloc(1, sizeof(*files));

    if (files != NULL) {
        files->base = (struct agent_source){ops, *config, -1, 0};
    }
    return files;
}

int source_open_file(const struct agent_source_config *config, struct agent_source **out,
                     struct agent_error *error)
{
    static const struct source_ops ops = {poll_file, close_files};
    struct file_source *files = new_files(config, &ops);

    if (files == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for source %s", config->name);
    }
    *out = &files->base;
    return 0;
}

int source_open_directory(const struct agent_source_config *config, struct agent_source **out,
                          struct agent_error *error)
{
    static const struct source_ops ops = {poll_directory, close_files};
    struct file_source *files = new_files(config, &ops);

    if (files == NULL) {
        return agent_error_set(error, ENOMEM, "no memory for source %s", config->name);
    }
    files->base.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (files->base.fd < 0 || watch(files) < 0) {
        int code = errno;
        close_files(&files->base);
        return agent_error_at(error, code, (struct agent_place){config->location, 0, 0},
                              "source %s: cannot watch the directory: %s", config->name,
                              strerror(code));
    }
    *out = &files->base;
    return 0;
}
