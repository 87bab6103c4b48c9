/* Every system call by number, once as the seccomp filter sees it (filter.c), once for real with arguments that fail.
 *
 * For real: all arguments are -1, which is no address, no file and no valid set of flags, but for the calls below. Children do it, one
 * after the other, each from where the last one has died or hung.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "probe.h"

#define NUMBERS 470 /* those known as this was written: a number above may mean something that -1 does not fail safely for */
#define HANG_MS 250

static const char *const NAMES[NUMBERS] = {
#include "syscall_names.inc" /* made of the compiler's headers: program.py */
#ifdef __x86_64__
    [335] = "uretprobe", [336] = "uprobe",
#endif
    [451] = "cachestat",      [452] = "fchmodat2",         [453] = "map_shadow_stack", [454] = "futex_wake",
    [455] = "futex_wait",     [456] = "futex_requeue",     [457] = "statmount",        [458] = "listmount",
    [459] = "lsm_get_self_attr", [460] = "lsm_set_self_attr", [461] = "lsm_list_modules", [462] = "mseal",
    [463] = "setxattrat",     [464] = "getxattrat",        [465] = "listxattrat",      [466] = "removexattrat",
    [467] = "open_tree_attr", [468] = "file_getattr",      [469] = "file_setattr",
};

enum { NOT_TRIED = 0, TRIED, DIED, HUNG };

struct result {
    int state;
    int error;
    int signal_number;
};

struct board { /* shared with the children */
    volatile int at;
    volatile int heartbeat;
    struct result results[NUMBERS];
};

/* Not carried out: they do not come back, or load the machine. */
static int is_left_out(long number)
{
    switch (number) {
#ifdef __NR_fork
    case __NR_fork:
#endif
#ifdef __NR_vfork
    case __NR_vfork:
#endif
#ifdef __NR_pause
    case __NR_pause:
#endif
    case __NR_exit:
    case __NR_exit_group:
    case __NR_rt_sigreturn:
    case __NR_sync:
        return 1;
    }
    return 0;
}

static void arguments_of(long number, long *a)
{
    for (int i = 0; i < 6; i++)
        a[i] = -1;
    switch (number) {
    case __NR_kill: /* -1 is everybody */
        a[0] = 0x7ffffffe;
        a[1] = 0;
        break;
    case __NR_msgget: /* flags of -1 would make one: look for a key that nobody has */
    case __NR_semget:
    case __NR_shmget:
        a[0] = 0x7e57ed;
        a[1] = a[2] = 0;
        break;
    case __NR_clone: /* one flag that must not be alone: the filter looks for those of namespaces */
        a[0] = 0x800;
        break;
    case __NR_futex: /* wake: what it does not know is ENOSYS */
        a[1] = 1;
        break;
    case __NR_personality: /* asks, and changes nothing */
        a[0] = 0xffffffffL;
        break;
#ifdef __NR_alarm
    case __NR_alarm:
        a[0] = 0;
        break;
#endif
#ifdef __NR_modify_ldt
    case __NR_modify_ldt: /* reads nothing; it answers ENOSYS to what it does not know */
        a[0] = a[1] = a[2] = 0;
        break;
#endif
    case __NR_syslog: /* the size of the kernel's log */
        a[0] = 10;
        a[1] = a[2] = 0;
        break;
    }
}

static void call(struct result *result, long number)
{
    long a[6];
    arguments_of(number, a);
    errno = 0;
    long answer = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    result->error = answer == -1 ? errno : 0;
    result->state = TRIED;
}

static void try_from(struct board *board, int filtered)
{
    setsid(); /* vhangup is for the terminal that we have: none */
    if (on_host && leave_host() != 0)
        _exit(1);
    if (filtered && lay_filter() != 0)
        _exit(1);
    for (int n = board->at; n < NUMBERS; n++) {
        board->at = n;
        board->heartbeat++;
        if (n != __NR_exit_group && (filtered || !is_left_out(n)))
            call(&board->results[n], n);
    }
    board->at = NUMBERS;
    syscall(__NR_exit_group, 0);
}

/* Wait for a child; one that stays at a number for too long is killed. Returns its wait status, or -1 when it hung. */
static int awaited(pid_t child, struct board *board)
{
    int status = 0, last = -1, same = 0;
    while (waitpid(child, &status, WNOHANG) == 0) {
        same = board->heartbeat == last ? same + 1 : 0;
        last = board->heartbeat;
        if (same > HANG_MS) {
            kill(child, SIGKILL);
            waitpid(child, &status, 0);
            return board->at < NUMBERS ? -1 : status;
        }
        struct timespec tick = {0, 1000000};
        nanosleep(&tick, NULL);
    }
    return status;
}

/* 0, or why it cannot be done. */
static const char *try_all(struct board *board, int filtered)
{
    while (board->at < NUMBERS) {
        int begun = board->heartbeat;
        pid_t child = fork();
        if (child < 0)
            return error_name(errno);
        if (child == 0)
            try_from(board, filtered);
        int status = awaited(child, board);
        if (board->at >= NUMBERS)
            break;
        if (board->heartbeat == begun)
            return filtered ? "a filter cannot be laid" : "not out of the host's namespaces";
        struct result *result = &board->results[board->at];
        if (result->state == NOT_TRIED) { /* else it died of something that came before */
            result->state = status == -1 ? HUNG : DIED;
            result->signal_number = status != -1 && WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        }
        board->at++;
    }
    return NULL;
}

/* Of the filter only what it refuses is told: what it lets pass says ENOSYS. */
static void tell(const char *key, struct board *board, int filtered, const char *why)
{
    json_open(key, '{');
    if (why != NULL)
        json_string("error", why);
    for (int n = 0; n < NUMBERS && why == NULL; n++) {
        struct result *result = &board->results[n];
        char name[32], died[32];
        if (result->state == NOT_TRIED || ((filtered || NAMES[n] == NULL) && result->state == TRIED && result->error == ENOSYS))
            continue;
        if (NAMES[n] == NULL)
            snprintf(name, sizeof name, "#%d", n);
        snprintf(died, sizeof died, "signal %d", result->signal_number);
        const char *text = result->state == HUNG ? "blocks" : result->state == DIED ? died : error_name(result->error);
        json_string(NAMES[n] != NULL ? NAMES[n] : name, text);
    }
    json_close('}');
}

static struct board *new_board(void)
{
    void *memory = mmap(NULL, sizeof(struct board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

#ifdef __x86_64__
static int by_interrupt(void *unused)
{
    long answer;
    (void)unused;
    __asm__ volatile("int $0x80" : "=a"(answer) : "a"(20L) : "memory"); /* getpid, as i386 numbers it */
    return answer == getpid() ? 0 : answer < 0 ? (int)-answer : 1;
}

static int by_x32(void *unused)
{
    (void)unused;
    long answer = syscall(0x40000000L | __NR_getpid);
    return answer == getpid() ? 0 : errno;
}

static void other_entries(void)
{
    static const struct {
        const char *name;
        int (*work)(void *);
    } ENTRIES[] = {{"i386", by_interrupt}, {"x32", by_x32}};
    json_open("entries", '{');
    for (size_t i = 0; i < 2; i++) {
        int number = 0, status = in_child(ENTRIES[i].work, NULL, 1000, &number);
        char died[32];
        snprintf(died, sizeof died, "signal %d", number);
        json_string(ENTRIES[i].name, status < 0 ? died : error_name(status));
    }
    json_close('}');
}
#else
static void other_entries(void) {}
#endif

void section_syscalls(char *argument)
{
    (void)argument;
    struct board *filter = new_board(), *real = new_board();
    if (filter == NULL || real == NULL) {
        json_string("error", error_name(errno));
        return;
    }
    json_number("last", NUMBERS - 1);
    const char *why = try_all(filter, 1);
    tell("filter", filter, 1, why);
    why = try_all(real, 0);
    tell("results", real, 0, why);
    other_entries();
}
