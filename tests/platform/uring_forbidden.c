/* SPDX-License-Identifier: GPL-2.0-or-later */
/* uring_forbidden.c - where io_uring is not allowed, the backend says so in words; where only
 * memory is short, it works
 *
 * Each case runs in a child: a seccomp filter that answers io_uring_setup with EPERM or ENOSYS; and
 * an unprivileged user with RLIMIT_MEMLOCK 0, who is told the limit, or 64 KiB, which is enough.
 * Exit 77: not to be tried here. Owner: the process.   Thread: main.   Time: none.   Units: none.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backend/uring/uring.h"
#include "support/clock.h"

#define SKIPPED 77
#define NOBODY  65534

static int forbid(unsigned code)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)
               ? -errno
               : 0;
}

/* Return: exit status of the case */
static int expect_backend(int code, const char *text)
{
    struct apn_backend_config config = {
        .clock = &apn_clock_monotonic, .host = "127.0.0.1", .port = "0"};
    struct apn_backend *be = NULL;
    struct apn_error err = {0};
    int ret = apn_uring_backend_new(&be, &config, &err);

    if (ret != code || !strstr(err.text, text)) {
        fprintf(stderr, "expected %d \"%s\", got %d \"%s\"\n", code, text, ret, err.text);
        return 1;
    }
    if (be) {
        be->ops->free(be);
    }
    return 0;
}

static int not_permitted(void)
{
    return forbid(EPERM)
               ? SKIPPED
               : expect_backend(
                     -EPERM,
                     "io_uring_setup is not permitted (a seccomp filter or security module)");
}

static int not_there(void)
{
    return forbid(ENOSYS) ? SKIPPED : expect_backend(-ENOSYS, "this kernel has no io_uring");
}

static int become_nobody(rlim_t memlock)
{
    const struct rlimit limit = {memlock, memlock};

    return setrlimit(RLIMIT_MEMLOCK, &limit) ||
                   (geteuid() == 0 && (setgid(NOBODY) || setuid(NOBODY)))
               ? SKIPPED
               : 0;
}

/* before Linux 6.14 rings are not charged: then it works */
static int no_locked_memory(void)
{
    int ret = become_nobody(0);

    if (ret == 0) {
        ret = expect_backend(-ENOMEM, "RLIMIT_MEMLOCK is 0 KiB") && expect_backend(0, "");
    }
    return ret;
}

static int little_locked_memory(void)
{
    int ret = become_nobody(64 << 10);

    return ret ? ret : expect_backend(0, "");
}

int main(void)
{
    static const struct {
        const char *name;
        int (*run)(void);
    } cases[] = {{"not permitted", not_permitted},
                 {"not there", not_there},
                 {"no locked memory", no_locked_memory},
                 {"64 KiB of locked memory", little_locked_memory}};
    int worst = 0;

    if (expect_backend(0, "")) {
        fprintf(stderr, "no io_uring on this machine: nothing to forbid\n");
        return SKIPPED;
    }
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        pid_t child = fork();
        int status = 0;

        if (child == 0) {
            _exit(cases[i].run());
        }
        if (child < 0 || waitpid(child, &status, 0) != child) {
            return 1;
        }
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        printf("%s: %s\n", cases[i].name,
               status == 0         ? "ok"
               : status == SKIPPED ? "skipped"
                                   : "FAILED");
        worst = status && worst != 1 ? status : worst;
    }
    return worst;
}
