/* What work in user space costs, what memory costs, and what a new process does. */
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"
#include "probe.h"

#define COPIED (8 << 20)
#define CELLS (1 << 21) /* of 8 bytes: 16 MiB, more than most second-level caches */
#define STEPS 1000
#define PAGES 256

static volatile unsigned long long kept; /* so that no work is left out */

static int compute(void *unused)
{
    (void)unused;
    kept = mix(kept, STEPS);
    return 0;
}

static int copy(void *data)
{
    char **halves = data;
    memcpy(halves[1], halves[0], COPIED);
    kept += (unsigned char)halves[1][kept % COPIED];
    return 0;
}

static size_t cell;

static int chase(void *cells)
{
    for (int i = 0; i < STEPS; i++)
        cell = ((size_t *)cells)[cell];
    return 0;
}

/* One circle through all cells, in an order that nobody foresees (Sattolo). */
static void fill_circle(size_t *cells)
{
    unsigned long long seed = 1;
    for (size_t i = 0; i < CELLS; i++)
        cells[i] = i;
    for (size_t i = CELLS - 1; i > 0; i--) {
        seed = mix(seed, 2);
        size_t j = (size_t)(seed % i), other = cells[i];
        cells[i] = cells[j];
        cells[j] = other;
    }
}

static int fault(void *unused)
{
    (void)unused;
    char *pages = mmap(NULL, PAGES * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return errno;
    madvise(pages, PAGES * 4096UL, MADV_NOHUGEPAGE);
    for (int i = 0; i < PAGES; i++)
        pages[i * 4096L] = 1;
    return ERROR_OF(munmap(pages, PAGES * 4096UL));
}

/* work=RUNS:MS: computing (ns a thousand steps), copying (MiB/s), reading memory at random (ns a thousand steps), page faults (1/s). */
void section_work(char *argument)
{
    struct bench bench = bench_of(argument);
    size_t *cells = malloc(CELLS * sizeof *cells);
    if (cells == NULL) {
        json_string("error", error_name(errno));
        return;
    }
    bench_time(&bench, "compute", compute, NULL);
    fill_circle(cells);
    bench_time(&bench, "chase", chase, cells);
    char *halves[2] = {(char *)cells, (char *)cells + COPIED};
    bench_rate(&bench, "copy", COPIED / 1048576.0, copy, halves);
    bench_rate(&bench, "faults", PAGES, fault, NULL);
    free(cells);
}

static int spawn(void *unused)
{
    (void)unused;
    int status;
    pid_t child = fork();
    if (child < 0)
        return errno;
    if (child == 0) {
        execl("/proc/self/exe", "probe", "nothing", "", (char *)NULL);
        _exit(errno);
    }
    if (waitpid(child, &status, 0) < 0)
        return errno;
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}

/* spawn=RUNS:MS: processes a second that are made, run this program, and are waited for. */
void section_spawn(char *argument)
{
    struct bench bench = bench_of(argument);
    bench_rate(&bench, "spawn", 1, spawn, NULL);
}
