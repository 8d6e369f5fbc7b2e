/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory.c - which file is behind a piece of guest RAM: memory-backend-memfd and -file with share=on; see client.h
 * The hypervisor hands over addresses only. The kernel's list of mappings names device and inode, and one of our own
 * descriptors is that file. It is opened again for reading: what the helper gets cannot be written through. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "backend/dpdk/client.h"

struct mapping {
    uintptr_t begin, end;
    uint64_t offset;
    unsigned major, minor;
    unsigned long inode;
    bool shared;
};

static bool read_mapping(FILE *maps, struct mapping *m)
{
    char line[512], rights[5];
    unsigned long begin, end;
    unsigned long long offset;

    while (fgets(line, sizeof(line), maps)) {
        const bool whole = strchr(line, '\n');

        if (sscanf(line, "%lx-%lx %4s %llx %x:%x %lu", &begin, &end, rights, &offset, &m->major, &m->minor, &m->inode) == 7) {
            m->begin = begin;
            m->end = end;
            m->offset = offset;
            m->shared = rights[3] == 's' && rights[0] == 'r';
            for (int c = whole ? '\n' : 0; c != '\n' && c != EOF;) {
                c = fgetc(maps); /* the rest of a long name */
            }
            return true;
        }
    }
    return false;
}

/* one region may be several mappings, where madvise() has split it: all of one file, without a gap */
static int find_mapping(uintptr_t at, uint64_t bytes, struct mapping *out)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    const uintptr_t end = at + bytes;
    uintptr_t covered = at;
    struct mapping m;

    if (!maps) {
        return -errno;
    }
    while (covered < end && read_mapping(maps, &m)) {
        if (m.end <= covered) {
            continue;
        }
        if (m.begin > covered || !m.shared || !m.inode) {
            break;
        }
        if (covered == at) {
            *out = m;
            out->offset = m.offset + (at - m.begin);
        } else if (m.major != out->major || m.minor != out->minor || m.inode != out->inode ||
                   m.offset != out->offset + (covered - at)) {
            break;
        }
        covered = m.end;
    }
    fclose(maps);
    return covered >= end ? 0 : -ENOENT;
}

static int open_again(int fd)
{
    char path[32];
    int again;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    return again >= 0 ? again : fcntl(fd, F_DUPFD_CLOEXEC, 0); /* a security module may forbid the one */
}

static int find_descriptor(const struct mapping *m)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    int found = -ENOENT;

    while (dir && found < 0 && (entry = readdir(dir))) {
        const int fd = atoi(entry->d_name);
        struct stat file;

        if (entry->d_name[0] != '.' && fd != dirfd(dir) && !fstat(fd, &file) && S_ISREG(file.st_mode) && file.st_ino == m->inode &&
            major(file.st_dev) == m->major && minor(file.st_dev) == m->minor) {
            found = open_again(fd);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return found < 0 ? -ENOENT : found;
}

int apn_dpdk_find_file(const void *at, uint64_t bytes, uint64_t *offset)
{
    struct mapping m = {0};
    int ret = find_mapping((uintptr_t)at, bytes, &m);

    if (!ret) {
        ret = find_descriptor(&m);
        *offset = m.offset;
    }
    return ret;
}
