/* What is mounted, and where of it files can be made and run. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "probe.h"

/* Not made in a file system of the kernel's own words, where a file would mean something. */
static int is_plain(const char *kind)
{
    static const char *const KINDS[] = {"overlay", "ext4", "ext3", "xfs", "btrfs", "tmpfs", "9p", "virtiofs", "zfs", "f2fs", "fuse"};
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (strcmp(kind, KINDS[i]) == 0)
            return 1;
    return 0;
}

static const char *made_file(const char *folder)
{
    char path[600];
    snprintf(path, sizeof path, "%s/.nodeagent-isolation-XXXXXX", folder);
    int fd = mkstemp(path);
    if (fd < 0)
        return error_name(errno);
    close(fd);
    unlink(path);
    return "ok";
}

static void tell(char *line)
{
    /* id parent major:minor root point options [tags] - kind source options-of-the-file-system */
    char root[512], point[512], options[256], kind[64], source[512], system_options[401] = "";
    char *rest = strstr(line, " - ");
    struct stat found;
    struct statvfs system;
    if (rest == NULL || sscanf(line, "%*d %*d %*s %511s %511s %255s", root, point, options) != 3 ||
        sscanf(rest + 3, "%63s %511s %400s", kind, source, system_options) < 2)
        return;
    json_open(NULL, '{');
    json_string("point", point);
    json_string("root", root);
    json_string("kind", kind);
    json_string("source", source);
    json_string("options", options);
    if (!on_host)
        json_string("system options", system_options);
    if (!on_host && is_plain(kind) && stat(point, &found) == 0) {
        if (S_ISDIR(found.st_mode))
            json_string("write", made_file(point));
        if (S_ISSOCK(found.st_mode)) /* what listens there is not spoken to */
            json_string("socket", access(point, W_OK) < 0 ? error_name(errno) : "ok");
    }
    if (statvfs(point, &system) == 0)
        json_string("run", system.f_flag & ST_NOEXEC ? "noexec" : "ok");
    json_close('}');
}

void section_mounts(char *argument)
{
    (void)argument;
    static char text[200000];
    int left = 200;
    json_open("mounts", '[');
    if (read_start("/proc/self/mountinfo", text, sizeof text) > 0) {
        char *next = text;
        for (char *line; left-- > 0 && (line = strsep(&next, "\n")) != NULL;)
            if (*line)
                tell(line);
    }
    json_close(']');
    if (!on_host)
        json_string("root", made_file("/"));
}
