/* probe [--host] SECTION[=ARGUMENT] ...   a line of JSON each, and a last one that says that all was done
 * probe --to=FILE SECTION ...             into a file, which is there when it is complete; relay=FILE writes it out
 * probe hold WORD                         the neighbour: who it is, and then it stays
 * probe deceived                          the neighbour whom spoofing=IP tries to deceive
 * probe [--host] ROLE ARGUMENT            what stays, or takes its time (roles.c)
 * probe-setuid                            (the same file, owned by root with the setuid bit) its user ids
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

int on_host;

static const struct section SECTIONS[] = {
    {"identity", section_identity, 10},
    {"syscalls", section_syscalls, 60},
    {"attempts", section_attempts, 20},
    {"sockets", section_sockets, 20},
    {"devices", section_devices, 10},
    {"filesystems", section_filesystems, 20},
    {"files", section_files, 20},
    {"mounts", section_mounts, 10},
    {"processes", section_processes, 10},
    {"network", section_network, 10},
    {"reach", section_reach, 20},
    {"environment", section_environment, 10},
    {"clocks", section_clocks, 10},
    {"processor", section_processor, 10},
    {"setuid", section_setuid, 10},
    {"masks", section_masks, 60},
    {"descriptors", section_descriptors, 10},
    {"roots", section_roots, 10},
    {"runtime", section_runtime, 20},
    {"keys", section_keys, 10},
    {"spoofing", section_spoofing, 20},
    {"route", section_route, 5},
    {"sleep", section_sleep, 5},
    {"started", section_started, 5},
    {"footprint", section_footprint, 5},
    {"calls", section_calls, 60},
    {"switches", section_switches, 60},
    {"work", section_work, 60},
    {"spawn", section_spawn, 60},
    {"storage", section_storage, 60},
    {"volume", section_storage, 60}, /* the same on another file system, and to another server */
    {"tcp", section_tcp, 60},
    {"tcp-host", section_tcp, 60},
};

static const struct section *find(const char *name)
{
    for (size_t i = 0; i < sizeof SECTIONS / sizeof *SECTIONS; i++)
        if (strcmp(SECTIONS[i].name, name) == 0)
            return &SECTIONS[i];
    return NULL;
}

struct work {
    const struct section *section;
    char *argument;
};

static int run_section(void *data)
{
    struct work *work = data;
    json_begin(work->section->name);
    work->section->run(work->argument);
    json_end();
    return 0;
}

static void run_apart(const struct section *section, char *argument)
{
    struct work work = {section, argument};
    int signal_number = 0;
    int status = in_child(run_section, &work, section->timeout_seconds * 1000, &signal_number);
    for (int i = 0; i < 50 && waitpid(-1, NULL, WNOHANG) >= 0; i++) /* as PID 1 of a pod we are the parent of what is left */
        poll(NULL, 0, 1);
    if (status == 0)
        return;
    char why[64];
    if (status > 0)
        snprintf(why, sizeof why, "ended with status %d", status);
    else if (signal_number == 0)
        snprintf(why, sizeof why, "not done in %d s", section->timeout_seconds);
    else
        snprintf(why, sizeof why, "killed by signal %d", signal_number);
    json_begin(section->name);
    json_string("error", why);
    json_end();
}

int main(int argc, char **argv)
{
    const char *name = strrchr(argv[0], '/');
    note_start();
    /* whoever comes by the file with the setuid bit, in a store of images, gets nothing else, by whatever name he calls it */
    if (getuid() != geteuid() || strcmp(name == NULL ? argv[0] : name + 1, "probe-setuid") == 0) {
        printf("%d %d\n", (int)getuid(), (int)geteuid());
        return 0;
    }
    if (argc == 3 && strcmp(argv[1], "hold") == 0) {
        run_apart(find("identity"), "");
        json_begin("holding");
        put_key(argv[2]);
        json_end();
        return hold(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "deceived") == 0)
        return deceived();
    int at = 1;
    if (at < argc && strcmp(argv[at], "--host") == 0) {
        char line[8];
        on_host = 1;
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (read(0, line, sizeof line) <= 0) /* a line: who started it has put it into its cgroup by then; none: it is gone */
            return 1;
        at++;
    }
    role *known = argc - at == 2 ? find_role(argv[at]) : NULL;
    if (known != NULL)
        return known(argv[at + 1]);
    char part[300];
    const char *to = NULL;
    for (int i = at; i < argc; i++) {
        if (strncmp(argv[i], "--to=", 5) == 0) {
            to = argv[i] + 5;
            snprintf(part, sizeof part, "%s.part", to);
            if (freopen(part, "w", stdout) == NULL)
                return 1;
            continue;
        }
        if (strncmp(argv[i], "relay=", 6) == 0) {
            relay(argv[i] + 6);
            continue;
        }
        char *argument = strchr(argv[i], '=');
        if (argument != NULL)
            *argument++ = '\0';
        const struct section *section = find(argv[i]);
        if (section == NULL) {
            fprintf(stderr, "probe: no section %s\n", argv[i]);
            return 2;
        }
        run_apart(section, argument == NULL ? "" : argument);
    }
    json_begin("end");
    json_end();
    return to != NULL && rename(part, to) < 0;
}
