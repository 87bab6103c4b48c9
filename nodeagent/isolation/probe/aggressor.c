/* A neighbour who takes what he can get, of one thing after the other, with pauses between. All of it is bounded: so many processes, so
 * much memory, so large a file, so long. */
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
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "json.h"
#include "probe.h"
#include "tcp.h"

#define MAX_WORKERS 8
#define MEMORY (64UL << 20) /* of all workers together */
#define FILE_BLOCKS 16      /* MiB */
#define MAX_CHILDREN 16     /* of a worker, at a time */

struct place {
    char *folder, *peer;
    int workers;
};

struct kind {
    const char *name;
    int (*attack)(const struct place *place, volatile long *turns);
};

static int attack_cpu(const struct place *place, volatile long *turns)
{
    (void)place;
    unsigned long long seed = 1;
    for (; seed != 0; (*turns)++)
        seed = mix(seed, 100000);
    return 0;
}

static int attack_memory(const struct place *place, volatile long *turns)
{
    size_t half = MEMORY / 2 / (size_t)place->workers;
    char *memory = malloc(2 * half);
    if (memory == NULL)
        return errno;
    memset(memory, 1, 2 * half);
    for (;; (*turns)++)
        memcpy(memory + (*turns % 2 ? half : 0), memory + (*turns % 2 ? 0 : half), half);
}

static int attack_disk(const struct place *place, volatile long *turns)
{
    char path[512], *block = calloc(1, 1 << 20);
    snprintf(path, sizeof path, "%s/.aggressor-%d", place->folder, (int)getpid());
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || block == NULL)
        return errno;
    unlink(path);
    for (;; (*turns)++) {
        if (pwrite(fd, block, 1 << 20, (off_t)(*turns % FILE_BLOCKS) << 20) < 0)
            return errno;
        if (*turns % FILE_BLOCKS == FILE_BLOCKS - 1)
            fdatasync(fd);
    }
}

static int attack_fork(const struct place *place, volatile long *turns)
{
    (void)place;
    for (int children = 0;;) {
        pid_t child = children < MAX_CHILDREN ? fork() : -1;
        if (child == 0)
            _exit(0);
        if (child > 0) {
            children++;
            (*turns)++;
            continue;
        }
        while (children > 0 && waitpid(-1, NULL, 0) > 0)
            children--;
    }
}

static int attack_network(const struct place *place, volatile long *turns)
{
    static char block[64 << 10];
    int fd = tcp_connect(place->peer, TCP_SINK);
    if (fd < 0)
        return -fd;
    for (;; (*turns)++)
        if (send(fd, block, sizeof block, MSG_NOSIGNAL) < 0)
            return errno;
}

static const struct kind KINDS[] = {
    {"cpu", attack_cpu}, {"memory", attack_memory}, {"disk", attack_disk}, {"fork", attack_fork}, {"network", attack_network},
};

static pid_t begin_worker(const struct kind *kind, const struct place *place, volatile long *turns, volatile int *error)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    *error = kind->attack(place, turns);
    _exit(0);
}

static void end_worker(pid_t child)
{
    if (child <= 0)
        return;
    kill(-child, SIGKILL); /* with its children */
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

/* `kind` NULL: the pause. */
static void phase(const struct kind *kind, const struct place *place, int ms, volatile long *turns)
{
    pid_t workers[MAX_WORKERS] = {0};
    volatile int *error = (volatile int *)(turns + MAX_WORKERS);
    memset((void *)turns, 0, 4096);
    for (int i = 0; kind != NULL && i < place->workers; i++)
        workers[i] = begin_worker(kind, place, &turns[i], error);
    long long begin = time_of_day();
    poll(NULL, 0, ms);
    long long end = time_of_day(), sum = 0;
    for (int i = 0; i < place->workers; i++)
        end_worker(workers[i]);
    for (int i = 0; i < place->workers; i++)
        sum += turns[i];
    json_begin("phase");
    json_string("kind", kind == NULL ? "nothing" : kind->name);
    json_number("begin", begin);
    json_number("end", end);
    json_number("turns", sum);
    if (*error != 0)
        json_string("error", error_name(*error));
    json_end();
}

/* aggress MS:PAUSE_MS:FOLDER:IP:PORT: every kind for MS, PAUSE_MS before each and at the end. */
int aggress(char *argument)
{
    char *parts[4] = {argument};
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    for (int i = 1; i < 4; i++) {
        parts[i] = strchr(parts[i - 1], ':');
        if (parts[i] == NULL)
            return 2;
        *parts[i]++ = '\0';
    }
    struct place place = {parts[2], parts[3], cpus < 1 ? 1 : cpus > MAX_WORKERS ? MAX_WORKERS : (int)cpus};
    volatile long *turns = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (turns == MAP_FAILED)
        return 1;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        phase(NULL, &place, atoi(parts[1]), turns);
        phase(&KINDS[i], &place, atoi(parts[0]), turns);
    }
    phase(NULL, &place, atoi(parts[1]), turns);
    return 0;
}
