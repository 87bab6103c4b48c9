/* Measuring in runs: turns are counted in batches that take a millisecond or so, and a run ends with the batch that fills its time. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"
#include "probe.h"

#define MAX_RUNS 64
#define MAX_MS 5000
#define BATCH_NS 1000000LL

static long long read_clock(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

long long now_ns(void) { return read_clock(CLOCK_MONOTONIC); }

long long time_of_day(void) { return read_clock(CLOCK_REALTIME) / 1000; }

unsigned long long mix(unsigned long long seed, int steps)
{
    for (int i = 0; i < steps; i++) {
        seed ^= seed >> 33;
        seed *= 0xff51afd7ed558ccdULL;
        seed += (unsigned long long)i;
    }
    return seed;
}

static int between(int value, int low, int high) { return value < low ? low : value > high ? high : value; }

struct bench bench_of(char *argument)
{
    struct bench bench = {5, 20, ""};
    char *ms = strchr(argument, ':');
    if (ms == NULL)
        return bench;
    *ms++ = '\0';
    bench.rest = strchr(ms, ':');
    if (bench.rest == NULL)
        bench.rest = "";
    else
        *bench.rest++ = '\0';
    bench.runs = between(atoi(argument), 1, MAX_RUNS);
    bench.ms = between(atoi(ms), 1, MAX_MS);
    return bench;
}

static int batch(turn *turn, void *data, long count)
{
    int error = 0;
    while (count-- > 0 && error == 0)
        error = turn(data);
    return error;
}

/* How many turns make a batch; the first of them warm up. */
static int calibrate(turn *turn, void *data, long *count)
{
    for (*count = 1;; *count *= 2) {
        long long begin = now_ns();
        int error = batch(turn, data, *count);
        if (error != 0 || now_ns() - begin >= BATCH_NS)
            return error;
    }
}

/* Nanoseconds a turn. */
static int run(turn *turn, void *data, long count, int ms, double *result)
{
    long long begin = now_ns(), passed = 0;
    long turns = 0;
    while (passed < ms * 1000000LL) {
        int error = batch(turn, data, count);
        if (error != 0)
            return error;
        turns += count;
        passed = now_ns() - begin;
    }
    *result = (double)passed / (double)turns;
    return 0;
}

static void measure(const struct bench *bench, const char *name, double amount, turn *turn, void *data)
{
    double results[MAX_RUNS];
    long count;
    int error = calibrate(turn, data, &count);
    for (int i = 0; i < bench->runs && error == 0; i++)
        error = run(turn, data, count, bench->ms, &results[i]);
    if (error != 0) {
        json_string(name, error_name(error));
        return;
    }
    json_open(name, '[');
    for (int i = 0; i < bench->runs; i++)
        json_real(NULL, amount > 0 ? amount * 1e9 / results[i] : results[i]);
    json_close(']');
}

void bench_time(const struct bench *bench, const char *name, turn *turn, void *data) { measure(bench, name, 0, turn, data); }

void bench_rate(const struct bench *bench, const char *name, double amount, turn *turn, void *data)
{
    measure(bench, name, amount, turn, data);
}
