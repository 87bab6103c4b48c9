/* Somebody who works steadily, and tells for every short while how it went: what neighbours do to it can be seen. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "json.h"
#include "probe.h"
#include "tcp.h"

#define MEMORY (8 << 20)
#define TOUCHED (128 << 10)
#define STEPS 20000
#define MAX_REQUESTS 20000
#define REQUESTS_A_SYNC 50 /* what goes to the disk takes so much longer that it is counted apart */

struct victim {
    int file, peer;
    char *memory;
    size_t at;
    unsigned long long seed;
};

static long long requests[MAX_REQUESTS], syncs[MAX_REQUESTS];

/* A request: it computes, walks through memory, writes and reads a page of a file, and asks the peer. */
static int request(struct victim *victim)
{
    char page[4096] = "";
    victim->seed = mix(victim->seed, STEPS);
    for (int i = 0; i < TOUCHED; i += 64)
        victim->seed += (unsigned long long)++victim->memory[(victim->at + (size_t)i) % MEMORY];
    victim->at = (victim->at + TOUCHED) % MEMORY;
    if (pwrite(victim->file, page, sizeof page, 0) < 0 || pread(victim->file, page, sizeof page, 0) < 0)
        return errno;
    return victim->peer < 0 ? 0 : tcp_round_trip(victim->peer);
}

static int ascending(const void *a, const void *b)
{
    long long left = *(const long long *)a, right = *(const long long *)b;
    return (left > right) - (left < right);
}

static void tell(const char *name, long long *times, int count)
{
    if (count == 0)
        return;
    qsort(times, (size_t)count, sizeof *times, ascending);
    json_open(name, '{');
    json_number("count", count);
    json_number("p50", times[(count - 1) / 2]);
    json_number("p99", times[(count - 1) * 99 / 100]);
    json_number("max", times[count - 1]);
    json_close('}');
}

static int window(struct victim *victim, int ms)
{
    long long begin = time_of_day(), end = now_ns() + ms * 1000000LL;
    int done = 0, synced = 0;
    while (now_ns() < end && done < MAX_REQUESTS) {
        long long start = now_ns();
        int error = request(victim);
        if (error != 0)
            return error;
        requests[done++] = now_ns() - start;
        if (done % REQUESTS_A_SYNC == 1) {
            start = now_ns();
            if (fdatasync(victim->file) < 0)
                return errno;
            syncs[synced++] = now_ns() - start;
        }
    }
    json_begin("window");
    json_number("begin", begin);
    json_number("end", time_of_day());
    tell("requests", requests, done);
    tell("syncs", syncs, synced);
    json_end();
    return 0;
}

/* victim MS:FOLDER[:IP:PORT]: a line for every MS, until it is told to end. The peer is a server that echoes. */
int victim(char *argument)
{
    char *folder = strchr(argument, ':'), path[512];
    if (folder == NULL)
        return 2;
    *folder++ = '\0';
    char *place = strchr(folder, ':');
    if (place != NULL)
        *place++ = '\0';
    snprintf(path, sizeof path, "%s/.victim-%d", folder, (int)getpid());
    struct victim victim = {open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), -1, calloc(1, MEMORY), 0, 1};
    int error = victim.file < 0 || victim.memory == NULL ? errno : 0;
    unlink(path);
    if (error == 0 && place != NULL && (victim.peer = tcp_connect(place, TCP_ECHO)) < 0)
        error = -victim.peer;
    while (error == 0)
        error = window(&victim, atoi(argument) > 0 ? atoi(argument) : 100);
    say("window", "error", error_name(error));
    return 1;
}
