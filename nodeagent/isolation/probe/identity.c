/* Who we are: ids, capabilities, restrictions, limits, namespaces, kernel. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static void fields_of_status(void)
{
    static char text[8192];
    json_open("status", '{');
    if (read_start("/proc/self/status", text, sizeof text) > 0)
        for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
            char *colon = strchr(line, ':');
            if (colon == NULL)
                continue;
            *colon++ = '\0';
            colon += strspn(colon, " \t");
            json_string(line, colon);
        }
    json_close('}');
}

static void file(const char *key, const char *path)
{
    static char text[16384];
    long length = read_start(path, text, sizeof text);
    if (length >= 0)
        json_bytes(key, text, strcspn(text, "") /* up to a null byte */);
    else
        json_string(key, "");
}

static void namespaces(void)
{
    static const char *const KINDS[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    json_open("namespaces", '{');
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        char path[64], link[64];
        snprintf(path, sizeof path, "/proc/self/ns/%s", KINDS[i]);
        ssize_t length = readlink(path, link, sizeof link);
        if (length > 0)
            json_bytes(KINDS[i], link, (size_t)length);
    }
    json_close('}');
}

static void limits(void)
{
    static const struct {
        const char *name;
        int resource;
    } LIMITS[] = {
        {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},   {"data", RLIMIT_DATA},
        {"fsize", RLIMIT_FSIZE},     {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
        {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},   {"rtprio", RLIMIT_RTPRIO}, {"sigpending", RLIMIT_SIGPENDING},
        {"stack", RLIMIT_STACK},
    };
    json_open("limits", '{');
    for (size_t i = 0; i < sizeof LIMITS / sizeof *LIMITS; i++) {
        struct rlimit limit;
        if (getrlimit(LIMITS[i].resource, &limit) < 0)
            continue;
        json_open(LIMITS[i].name, '[');
        json_number(NULL, limit.rlim_cur == RLIM_INFINITY ? -1 : (long long)limit.rlim_cur);
        json_number(NULL, limit.rlim_max == RLIM_INFINITY ? -1 : (long long)limit.rlim_max);
        json_close(']');
    }
    json_close('}');
}

void section_identity(char *argument)
{
    (void)argument;
    struct utsname name;
    uname(&name);
    json_open("kernel", '{');
    json_string("system", name.sysname);
    json_string("release", name.release);
    json_string("version", name.version);
    json_string("machine", name.machine);
    json_string("host name", name.nodename);
    json_close('}');
    json_number("pid", getpid());
    json_number("parent", getppid());
    json_number("uid", geteuid());
    json_number("gid", getegid());
    fields_of_status();
    file("label", "/proc/self/attr/current");
    file("uid_map", "/proc/self/uid_map");
    file("gid_map", "/proc/self/gid_map");
    file("cgroup", "/proc/self/cgroup");
    file("oom_score_adj", "/proc/self/oom_score_adj");
    namespaces();
    limits();
}

/* Become nobody, then run the file with the setuid bit: the effective user that it has. */
void section_setuid(char *argument)
{
    (void)argument;
    int ends[2];
    char said[64] = "";
    struct stat found;
    if (stat("/probe-setuid", &found) < 0) {
        json_string("error", "no /probe-setuid here");
        return;
    }
    json_number("owner", found.st_uid);
    json_number("mode", found.st_mode & 07777);
    if (pipe(ends) < 0)
        return;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 1);
        if (getuid() == 0 && setresuid(65534, 65534, 65534) < 0)
            _exit(errno);
        execl("/probe-setuid", "probe-setuid", (char *)NULL);
        _exit(errno);
    }
    close(ends[1]);
    ssize_t length = read(ends[0], said, sizeof said - 1);
    int status = 0, user = -1, effective = -1;
    waitpid(child, &status, 0);
    if (length > 0 && sscanf(said, "%d %d", &user, &effective) == 2) {
        json_number("user", user);
        json_number("effective", effective);
    } else {
        json_string("refused", error_name(WIFEXITED(status) ? WEXITSTATUS(status) : EINTR));
    }
}
