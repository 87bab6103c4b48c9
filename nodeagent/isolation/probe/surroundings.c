/* Environment, clocks, processor. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __x86_64__
#include <cpuid.h>
#endif

#include "probe.h"

extern char **environ;

/* Names only: values may be secrets. */
void section_environment(char *argument)
{
    (void)argument;
    json_open("names", '[');
    for (char **each = environ; *each != NULL; each++)
        json_bytes(NULL, *each, strcspn(*each, "="));
    json_close(']');
}

static void clock_of(const char *key, clockid_t id)
{
    struct timespec now;
    if (clock_gettime(id, &now) == 0)
        json_number(key, now.tv_sec * 1000LL + now.tv_nsec / 1000000);
}

void section_clocks(char *argument)
{
    (void)argument;
    clock_of("realtime ms", CLOCK_REALTIME);
    clock_of("monotonic ms", CLOCK_MONOTONIC);
    clock_of("boot ms", CLOCK_BOOTTIME);
#ifdef __x86_64__
    json_number("tsc", (long long)__builtin_ia32_rdtsc());
#endif
}

void section_processor(char *argument)
{
    (void)argument;
    json_number("online", sysconf(_SC_NPROCESSORS_ONLN));
    json_number("memory bytes", (long long)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
#ifdef __x86_64__
    unsigned int words[12] = {0}, a, b, c, d;
    char text[49];
    for (unsigned int i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]);
    memcpy(text, words, 48);
    text[48] = '\0';
    json_string("model", text);
    if (__get_cpuid(1, &a, &b, &c, &d)) {
        json_string("hypervisor", c >> 31 ? "yes" : "no");
        json_number("signature", a);
    }
#endif
}

void section_sleep(char *argument)
{
    (void)argument; /* so that it can be seen what becomes of a section that hangs */
    for (;;)
        pause();
}
