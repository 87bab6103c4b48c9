/* What can be mounted: every kind that the kernel lists (none that it would have to load), over /tmp, and away again at once.
 * Once as we are, once with the rights that a user namespace of our own gives. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "probe.h"

/* Of no use, or not to be touched: mounting makes something on the host, or waits for somebody. */
static const char *const LEFT_OUT[] = {
    "sockfs", "pipefs", "bdev", "cpuset", "cgroup", "rootfs", "anon_inodefs", "dax", "autofs", "efivarfs", "pstore", "nfsd", "rpc_pipefs",
};

static const char *options_of(const char *kind) { return strcmp(kind, "tmpfs") == 0 ? "size=4k" : NULL; }

static int is_left_out(const char *kind)
{
    for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++)
        if (strcmp(kind, LEFT_OUT[i]) == 0)
            return 1;
    return 0;
}

static int try_mount(void *kind)
{
    if (mount("none", "/tmp", kind, 0, options_of(kind)) < 0)
        return errno;
    umount2("/tmp", MNT_DETACH);
    return 0;
}

static int try_on_host(void *kind)
{
    int error = leave_host();
    return error != 0 ? error : try_mount(kind);
}

static int put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = ERROR_OF(write(fd, text, strlen(text)));
    close(fd);
    return error;
}

static int try_as_own_root(void *kind)
{
    char map[64];
    int user = (int)geteuid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC) < 0)
        return errno;
    snprintf(map, sizeof map, "0 %d 1", user);
    put("/proc/self/setgroups", "deny");
    int error = put("/proc/self/uid_map", map);
    if (error != 0)
        return error;
    int number = 0; /* a new PID namespace begins with the next child */
    return in_child(try_mount, kind, 1000, &number);
}

static void every(const char *key, int (*work)(void *), int with_disks)
{
    static char text[8192];
    json_open(key, '{');
    if (read_start("/proc/filesystems", text, sizeof text) > 0)
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            char *kind = strrchr(line, '\t');
            int on_disk = strncmp(line, "nodev", 5) != 0;
            if (kind == NULL || is_left_out(++kind) || (on_disk && !with_disks))
                continue;
            int number = 0, status = in_child(work, kind, 2000, &number);
            json_string(kind, status < 0 ? "blocks" : error_name(status));
        }
    json_close('}');
}

void section_filesystems(char *argument)
{
    (void)argument;
    every("as we are", on_host ? try_on_host : try_mount, 0);
    every("in a user namespace", try_as_own_root, 0);
}
