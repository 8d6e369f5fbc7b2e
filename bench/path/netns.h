/* SPDX-License-Identifier: GPL-2.0-or-later */
/* netns.h - named network namespaces, as iproute2 names them (/run/netns/NAME)
 * Owner: none, all state is in the kernel.  Thread: main, before other threads start.
 * Time:  none.                              Units:  none. */
#ifndef APN_BENCH_PATH_NETNS_H
#define APN_BENCH_PATH_NETNS_H

#define PATH_NETNS_DIR "/run/netns"

/** path_netns_create() - make a namespace and give it a name; the caller stays where it was
 * Return: a descriptor of the namespace (close it), or -errno; -EEXIST when the name is taken. */
int path_netns_create(const char *name);

/** path_netns_remove() - take the name away; the namespace lives while processes or descriptors use it
 * Return: 0, also when there was none, or -errno. */
int path_netns_remove(const char *name);

/** path_netns_open() - descriptor of a named namespace, or -errno */
int path_netns_open(const char *name);

/** path_netns_enter() - move the calling thread
 * @fd: from path_netns_open(), path_netns_create() or path_netns_self()
 * Return: 0 or -errno. */
int path_netns_enter(int fd);

/** path_netns_self() - descriptor of the calling thread's namespace, or -errno */
int path_netns_self(void);

#endif
