/* What a process was handed over, or can take from those beside it: descriptors, its working directory, roots, the runtime's program. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define GET_SEALS 1034
#define WATCH_MS 8000
#define LINGER_MS 2000

static void tell_descriptor(const char *name, int fd)
{
    char link[300], own[64];
    struct stat found;
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(own, link, sizeof link);
    if (fstat(fd, &found) < 0)
        return;
    json_open(name, '{');
    json_bytes("link", link, length > 0 ? (size_t)length : 0);
    json_string("kind", S_ISDIR(found.st_mode) ? "directory" : S_ISREG(found.st_mode) ? "file" : S_ISSOCK(found.st_mode) ? "socket"
                        : S_ISFIFO(found.st_mode) ? "pipe" : S_ISCHR(found.st_mode) ? "device" : "other");
    json_string("terminal", isatty(fd) ? "yes" : "no");
    json_close('}');
}

static void working_directory(void)
{
    static char path[4096];
    long length = syscall(__NR_getcwd, path, sizeof path); /* the C library hides what is outside */
    if (length < 0)
        json_string("working directory", error_name(errno));
    else
        json_bytes("working directory", path, strnlen(path, 200));
    struct stat here, root;
    int up = open("../../../../../../../..", O_PATH | O_DIRECTORY | O_CLOEXEC); /* stops at our root, if we are below it */
    int inside = up >= 0 && fstat(up, &here) == 0 && stat("/", &root) == 0 && here.st_dev == root.st_dev && here.st_ino == root.st_ino;
    json_string("below the root", inside ? "yes" : "no");
    if (up >= 0)
        close(up);
}

void section_descriptors(char *argument)
{
    (void)argument;
    DIR *folder = opendir("/proc/self/fd");
    struct dirent *entry;
    json_open("open", '{');
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (isdigit((unsigned char)entry->d_name[0]) && atoi(entry->d_name) != dirfd(folder))
            tell_descriptor(entry->d_name, atoi(entry->d_name));
    json_close('}');
    json_string("listed", folder != NULL ? "ok" : error_name(errno));
    if (folder != NULL)
        closedir(folder);
    working_directory();
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
    json_result("controlling terminal", terminal < 0 ? -errno : 0);
    if (terminal >= 0)
        close(terminal);
}

/* The mount namespace of a process, in `link`; empty: not to be known. */
static void mounts_of(const char *pid, char *link, size_t size)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%.20s/ns/mnt", pid);
    ssize_t length = readlink(path, link, size - 1);
    link[length > 0 ? length : 0] = '\0';
}

/* Whose root, other than ours, is reached through /proc/PID/root: how many, and in which mount namespaces they are. */
void section_roots(char *argument)
{
    (void)argument;
    char own[64], other[64], last[64] = "", path[64];
    int others = 0, reached = 0, told = 0;
    mounts_of("self", own, sizeof own);
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    const char *said = "none seen";
    json_open("mount namespaces", '[');
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        int pid = atoi(entry->d_name);
        if (pid <= 0 || pid == getpid() || pid == getppid())
            continue;
        mounts_of(entry->d_name, other, sizeof other);
        if (*other && strcmp(own, other) == 0)
            continue;
        others++;
        snprintf(path, sizeof path, "/proc/%d/root/.", pid);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            said = error_name(errno);
            continue;
        }
        close(fd);
        reached++;
        if (strcmp(last, other) != 0 && told++ < 100)
            json_string(NULL, other);
        strcpy(last, other);
    }
    json_close(']');
    if (folder != NULL)
        closedir(folder);
    json_number("others", others);
    json_number("reached", reached);
    json_string("refused", reached ? "" : said);
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

struct caught {
    int pid, processes, error, program; /* program: a descriptor of what it ran, -1: not opened */
    char name[64];
};

/* Look at a process that is not ours: what it runs, if that is not our program. */
static void look_at(int pid, const struct stat *own, struct caught *caught)
{
    char path[64];
    struct stat found;
    if (pid != caught->pid) {
        caught->processes++;
        caught->pid = pid;
    }
    snprintf(path, sizeof path, "/proc/%d/exe", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        if (errno != ENOENT && errno != ESRCH) {
            caught->error = errno;
            snprintf(path, sizeof path, "/proc/%d/comm", pid);
            if (read_start(path, caught->name, sizeof caught->name) > 0)
                caught->name[strcspn(caught->name, "\n")] = '\0';
        }
        return;
    }
    if (fstat(fd, &found) == 0 && (found.st_dev != own->st_dev || found.st_ino != own->st_ino)) {
        caught->program = fd;
        snprintf(path, sizeof path, "/proc/%d/comm", pid);
        if (read_start(path, caught->name, sizeof caught->name) > 0)
            caught->name[strcspn(caught->name, "\n")] = '\0';
        return;
    }
    close(fd);
}

static void scan(const struct stat *own, struct caught *caught)
{
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder != NULL && caught->program < 0 && (entry = readdir(folder)) != NULL) {
        int pid = atoi(entry->d_name);
        if (pid > 0 && pid != getpid() && pid != getppid())
            look_at(pid, own, caught);
    }
    if (folder != NULL)
        closedir(folder);
}

/* runtime=FILE: wait until somebody who was put in here by the runtime has written that file; on the way, its own program is looked for
 * in /proc, as CVE-2019-5736 did. What is found is opened for writing, and never written. */
void section_runtime(char *file)
{
    struct caught caught = {.program = -1};
    struct stat own, written;
    long long begin = now_ms(), done = 0;
    if (stat("/proc/self/exe", &own) < 0) {
        json_string("error", error_name(errno));
        return;
    }
    while (caught.program < 0 && now_ms() - begin < WATCH_MS && (done == 0 || now_ms() - done < LINGER_MS)) {
        scan(&own, &caught);
        if (done == 0 && stat(file, &written) == 0)
            done = now_ms();
    }
    while (stat(file, &written) < 0 && now_ms() - begin < WATCH_MS)
        poll(NULL, 0, 5);
    json_number("processes", caught.processes);
    json_bytes("name", caught.name, strlen(caught.name));
    if (caught.program < 0) {
        json_string("opened", caught.error ? error_name(caught.error) : "never");
        return;
    }
    char path[64], link[300];
    snprintf(path, sizeof path, "/proc/self/fd/%d", caught.program);
    ssize_t length = readlink(path, link, sizeof link);
    int seals = fcntl(caught.program, GET_SEALS);
    json_string("opened", "ok");
    json_bytes("link", link, length > 0 ? (size_t)length : 0);
    json_number("seals", seals < 0 ? 0 : seals);
    struct statvfs seen; /* asked apart: while it runs, "busy" comes before "read-only" */
    json_string("read-only", fstatvfs(caught.program, &seen) == 0 && (seen.f_flag & ST_RDONLY) ? "yes" : "no");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    json_result("write", fd < 0 ? -errno : 0);
    if (fd >= 0)
        close(fd);
    close(caught.program);
}

/* relay=FILE: what somebody else in this container has found, as it is. */
void relay(const char *file)
{
    static char text[65536];
    if (read_start(file, text, sizeof text) > 0)
        fputs(text, stdout);
    fflush(stdout);
}
