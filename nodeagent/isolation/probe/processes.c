/* Who else is seen, and how much of them. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "probe.h"

static char text[4096];

/* The command line of a process, with spaces; empty for those of the kernel. */
static void read_command(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
    long length = read_start(path, text, sizeof text);
    for (long i = 0; i < length; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[length > 0 ? length : 0] = '\0';
}

static int is_open(int pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static int is_own(int pid) { return pid == getpid() || pid == getppid(); }

/* processes=WORD: how many others there are, how many of them can be looked into, how many have the word in their command line. */
void section_processes(char *argument)
{
    int others = 0, named = 0, environments = 0, roots = 0;
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    if (folder == NULL) {
        json_string("error", error_name(errno));
        return;
    }
    json_open("some", '[');
    while ((entry = readdir(folder)) != NULL) {
        int pid = atoi(entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || is_own(pid))
            continue;
        read_command(pid);
        if (others++ < 10 && !on_host) /* a report is passed on */
            json_bytes(NULL, text, strnlen(text, 60));
        named += *argument && strstr(text, argument) != NULL;
        environments += is_open(pid, "environ");
        roots += is_open(pid, "root/.");
    }
    json_close(']');
    closedir(folder);
    json_number("others", others);
    json_number("named", named);
    json_number("environments", environments);
    json_number("roots", roots);
    json_number("own", getpid());
}
