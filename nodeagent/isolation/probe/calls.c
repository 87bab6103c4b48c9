/* What a system call costs, and what it costs to hand over to another process. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "probe.h"

static int call_getpid(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(SYS_getpid)); /* the C library's may remember */
}

static int call_file(void *unused)
{
    (void)unused;
    char text[64];
    int fd = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = ERROR_OF(read(fd, text, sizeof text));
    close(fd);
    return error;
}

static int call_futex(void *word) { return ERROR_OF(syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0)); }

/* An event that is waited for: written, found, taken. */
static int call_epoll(void *data)
{
    const int *fds = data;
    struct epoll_event event;
    uint64_t value = 1;
    if (write(fds[1], &value, sizeof value) < 0 || epoll_wait(fds[0], &event, 1, 0) != 1)
        return errno != 0 ? errno : EAGAIN;
    return ERROR_OF(read(fds[1], &value, sizeof value));
}

static void measure_epoll(const struct bench *bench)
{
    int fds[2] = {epoll_create1(EPOLL_CLOEXEC), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    struct epoll_event event = {.events = EPOLLIN};
    if (fds[0] < 0 || fds[1] < 0 || epoll_ctl(fds[0], EPOLL_CTL_ADD, fds[1], &event) < 0)
        json_string("epoll", error_name(errno));
    else
        bench_time(bench, "epoll", call_epoll, fds);
}

/* calls=RUNS:MS */
void section_calls(char *argument)
{
    struct bench bench = bench_of(argument);
    int word = 0;
    bench_time(&bench, "getpid", call_getpid, NULL);
    bench_time(&bench, "open read close", call_file, NULL);
    bench_time(&bench, "futex", call_futex, &word);
    measure_epoll(&bench);
}

/* ------------------------------------------------------------------------------------------------------------------------------------- */

static int there_and_back(void *data)
{
    const int *ends = data;
    char byte = 'x';
    if (write(ends[0], &byte, 1) != 1 || read(ends[1], &byte, 1) != 1)
        return errno != 0 ? errno : EPIPE;
    return 0;
}

static void measure_pipe(const struct bench *bench)
{
    int there[2], back[2];
    if (pipe2(there, O_CLOEXEC) < 0 || pipe2(back, O_CLOEXEC) < 0) {
        json_string("pipe", error_name(errno));
        return;
    }
    pid_t child = fork();
    if (child == 0) {
        char byte;
        close(there[1]);
        while (read(there[0], &byte, 1) == 1 && write(back[1], &byte, 1) == 1)
            ;
        _exit(0);
    }
    int ends[2] = {there[1], back[0]};
    close(there[0]);
    close(back[1]);
    bench_time(bench, "pipe", there_and_back, ends);
    close(there[1]);
    close(back[0]);
    waitpid(child, NULL, 0);
}

static void hand_over(_Atomic uint32_t *word, uint32_t own, uint32_t next)
{
    uint32_t seen;
    while ((seen = atomic_load(word)) != own)
        syscall(SYS_futex, word, FUTEX_WAIT, seen, NULL, NULL, 0);
    atomic_store(word, next);
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static int handed_over_and_back(void *word)
{
    hand_over(word, 0, 1);
    return 0;
}

static void measure_futex(const struct bench *bench)
{
    void *word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (word == MAP_FAILED)
        return;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            hand_over(word, 1, 0);
    }
    bench_time(bench, "futex", handed_over_and_back, word);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    munmap(word, 4096);
}

/* switches=RUNS:MS: there and back between two processes. */
void section_switches(char *argument)
{
    struct bench bench = bench_of(argument);
    measure_pipe(&bench);
    measure_futex(&bench);
}
