/* Work that may crash or hang, in a child; and leaving the host's namespaces. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

int in_child(int (*work)(void *), void *argument, int timeout_ms, int *signal_number)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0)
        return errno;
    if (child == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int status = work(argument);
        fflush(stdout);
        _exit(status);
    }
    long long end = now_ms() + timeout_ms;
    int status = 0, late = 0, nap_ms = 1;
    while (waitpid(child, &status, WNOHANG) == 0) {
        if (!late && now_ms() > end) {
            late = 1;
            kill(-child, SIGKILL);
            kill(child, SIGKILL);
        }
        poll(NULL, 0, nap_ms);
        nap_ms += nap_ms < 20; /* what takes long is not disturbed while it measures */
    }
    kill(-child, SIGKILL); /* what it has left */
    if (WIFEXITED(status) && !late)
        return WEXITSTATUS(status);
    if (signal_number != NULL)
        *signal_number = late ? 0 : WTERMSIG(status);
    return -1;
}

int leave_host(void)
{
    if (unshare(CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) < 0)
        return errno;
    return ERROR_OF(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
}

long read_start(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    size_t have = 0;
    long error = 0;
    int overtaken = 16; /* the kernel's log is a ring: what is to be read next may be overwritten meanwhile, which is no refusal */
    while (have + 1 < size) {
        ssize_t count = read(fd, buffer + have, size - 1 - have);
        if (count < 0 && errno == EPIPE && overtaken-- > 0)
            continue;
        if (count < 0)
            error = -errno;
        if (count <= 0)
            break;
        have += (size_t)count;
    }
    close(fd);
    buffer[have] = '\0';
    return have > 0 ? (long)have : error;
}
