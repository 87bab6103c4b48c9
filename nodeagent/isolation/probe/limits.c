/* What takes more and more, to see where it is stopped. Each stops by itself at a bound that is its argument. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "json.h"
#include "probe.h"

#define MIB (1UL << 20)
#define STEP_MIB 4
#define MAX_PROCESSES 2000
#define HELD_MS 400 /* so that who counts from outside sees them */

static void tell(const char *section, const char *unit, long amount, int error)
{
    json_begin(section);
    json_number(unit, amount);
    json_string("said", error_name(error));
    json_end();
}

/* spin N: that many processes that compute, until it is told to end. */
int spin(char *argument)
{
    for (int i = atoi(argument); i > 0; i--)
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (unsigned long long seed = 1;;)
                seed = mix(seed, 100000);
        }
    say("spinning", "error", "ok");
    for (;;)
        pause();
}

/* grow-memory MIB */
int grow_memory(char *argument)
{
    int error = 0;
    long have = 0, most = atol(argument);
    while (have < most && error == 0) {
        char *memory = mmap(NULL, STEP_MIB * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            error = errno;
            break;
        }
        for (size_t i = 0; i < STEP_MIB * MIB; i += 4096)
            memory[i] = (char)(i >> 12) | 1; /* no page is like another's neighbour: nothing to merge */
        have += STEP_MIB;
        tell("grown", "mib", have, error);
    }
    tell("grown", "mib", have, error);
    return 0;
}

/* bomb N: processes that stay, until there are so many or no more are given; then they end. */
int bomb(char *argument)
{
    static pid_t children[MAX_PROCESSES];
    int made = 0, most = atoi(argument), error = 0;
    while (made < most && made < MAX_PROCESSES && error == 0) {
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;)
                pause();
        }
        if (child < 0)
            error = errno;
        else
            children[made++] = child;
    }
    tell("bomb", "processes", made, error);
    poll(NULL, 0, HELD_MS);
    for (int i = 0; i < made; i++)
        kill(children[i], SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        ;
    return 0;
}

/* open-files N: files opened, with the limit as high as it goes. */
int descriptors(char *argument)
{
    struct rlimit limit = {0, 0};
    long made = 0, most = atol(argument);
    int error = 0;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    for (; made < most && error == 0; made += error == 0)
        error = ERROR_OF(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
    json_begin("descriptors");
    json_number("open", made);
    json_number("limit", limit.rlim_max == RLIM_INFINITY ? -1 : (long long)limit.rlim_max);
    json_string("said", error_name(error));
    json_end();
    return 0;
}

/* grow-file MIB:MS:FOLDER: then it stays so long, for whoever finds the file too large. */
int grow_file(char *argument)
{
    static char block[1 << 20];
    char *ms = strchr(argument, ':'), *folder = ms != NULL ? strchr(ms + 1, ':') : NULL, path[512];
    if (folder == NULL)
        return 2;
    *ms++ = *folder++ = '\0';
    snprintf(path, sizeof path, "%s/growing", folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), error = fd < 0 ? errno : 0;
    long have = 0, most = atol(argument);
    memset(block, 'x', sizeof block);
    for (; have < most && error == 0; have += error == 0) {
        ssize_t count = write(fd, block, sizeof block);
        error = count < 0 ? errno : count < (ssize_t)sizeof block ? ENOSPC : 0;
        if (error == 0 && have % STEP_MIB == 0) /* who ends the pod does not wait for more */
            tell("written", "mib", have + 1, 0);
    }
    tell("written", "mib", have, error);
    if (error == 0)
        poll(NULL, 0, atoi(ms));
    return 0;
}
