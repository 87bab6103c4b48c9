/* How long a turn of something takes, measured in runs that are bounded in time and not in turns. */
#ifndef BENCH_H
#define BENCH_H

/* `argument` of a section: RUNS:MS, or RUNS:MS:REST. */
struct bench {
    int runs;
    int ms; /* of each run, about */
    char *rest;
};

struct bench bench_of(char *argument);

/* Something to be repeated. It returns 0, or the error number, which ends the measurement and is its result. */
typedef int turn(void *data);

/* Under `name`, an array with a number a run: nanoseconds a turn; or the name of the error. */
void bench_time(const struct bench *bench, const char *name, turn *turn, void *data);
/* As above: how much a second, where a turn does `amount`. */
void bench_rate(const struct bench *bench, const char *name, double amount, turn *turn, void *data);

long long now_ns(void);      /* CLOCK_MONOTONIC */
long long time_of_day(void); /* CLOCK_REALTIME, microseconds */

/* Work for a processor, the same on every call. */
unsigned long long mix(unsigned long long seed, int steps);

#endif
