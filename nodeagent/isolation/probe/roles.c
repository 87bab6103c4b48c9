/* What the program can be as a whole, beside running sections; and what it says of itself. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "json.h"
#include "probe.h"

static long long started;

/* The first process of a pod has no default for signals. */
static void leave(int number)
{
    (void)number;
    _exit(0);
}

void say(const char *section, const char *key, const char *value)
{
    json_begin(section);
    json_string(key, value);
    json_end();
}

/* An idle pod. */
static int stay(char *unused)
{
    (void)unused;
    say("staying", "error", "ok");
    while (pause() < 0)
        ;
    return 0;
}

/* A process that is only made. */
static int nothing(char *unused)
{
    (void)unused;
    return 0;
}

static const struct {
    const char *name;
    role *run;
} ROLES[] = {
    {"stay", stay},
    {"nothing", nothing},
    {"serve", serve},
    {"victim", victim},
    {"aggress", aggress},
    {"spin", spin},
    {"grow-memory", grow_memory},
    {"bomb", bomb},
    {"open-files", descriptors},
    {"grow-file", grow_file},
};

role *find_role(const char *name)
{
    for (size_t i = 0; i < sizeof ROLES / sizeof *ROLES; i++)
        if (strcmp(ROLES[i].name, name) == 0) {
            signal(SIGTERM, leave);
            return ROLES[i].run;
        }
    return NULL;
}

void note_start(void) { started = time_of_day(); }

/* started: when this program began, in microseconds of the day's time. */
void section_started(char *argument)
{
    (void)argument;
    json_number("at", started);
}

/* footprint: what the memory of this process comes to, pages that it shares by its share (kB). */
void section_footprint(char *argument)
{
    (void)argument;
    static char text[4096];
    long pss = 0;
    long length = read_start("/proc/self/smaps_rollup", text, sizeof text);
    char *line = length > 0 ? strstr(text, "Pss:") : NULL;
    if (line != NULL && sscanf(line, "Pss: %ld", &pss) == 1)
        json_number("pss", pss);
    else
        json_string("error", "no /proc/self/smaps_rollup");
}
