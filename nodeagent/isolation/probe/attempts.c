/* What is risky in earnest: a small, complete use of each, undone at once. Each in a child, so that nothing of it is left. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/keyctl.h>
#include <linux/perf_event.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "probe.h"

static int bpf_map(void *unused)
{
    (void)unused;
    union bpf_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.map_type = BPF_MAP_TYPE_ARRAY;
    attributes.key_size = attributes.value_size = 4;
    attributes.max_entries = 1;
    return ERROR_OF(syscall(__NR_bpf, BPF_MAP_CREATE, &attributes, sizeof attributes));
}

static int perf(int with_kernel)
{
    struct perf_event_attr attributes;
    memset(&attributes, 0, sizeof attributes);
    attributes.type = PERF_TYPE_SOFTWARE;
    attributes.size = sizeof attributes;
    attributes.config = PERF_COUNT_SW_CPU_CLOCK;
    attributes.disabled = 1;
    attributes.exclude_kernel = !with_kernel;
    attributes.exclude_hv = 1;
    return ERROR_OF(syscall(__NR_perf_event_open, &attributes, 0, -1, -1, 0));
}

static int perf_own(void *unused) { return (void)unused, perf(0); }

static int perf_kernel(void *unused) { return (void)unused, perf(1); }

static int userfaults(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(__NR_userfaultfd, O_CLOEXEC)); /* kernel faults too: what exploits stop the kernel with */
}

static int ring(void *unused)
{
    (void)unused;
    struct io_uring_params parameters;
    memset(&parameters, 0, sizeof parameters);
    return ERROR_OF(syscall(__NR_io_uring_setup, 1, &parameters));
}

static int add_key(void *unused)
{
    (void)unused; /* into the process's own keyring, which goes with it */
    return ERROR_OF(syscall(__NR_add_key, "user", "nodeagent-isolation", "x", 1, KEY_SPEC_PROCESS_KEYRING));
}

static int session_keyring(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(__NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
}

static int trace_child(void *unused)
{
    (void)unused;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int error = ERROR_OF(ptrace(PTRACE_SEIZE, child, 0, 0));
    kill(child, SIGKILL);
    return error;
}

static int read_child(void *unused)
{
    (void)unused;
    char value = 'x', copy;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    struct iovec here = {&copy, 1}, there = {&value, 1};
    int error = ERROR_OF(process_vm_readv(child, &here, 1, &there, 1, 0));
    kill(child, SIGKILL);
    return error;
}

static int make_namespace(int flags)
{
    return ERROR_OF(unshare(flags));
}

static int user_namespace(void *unused) { return (void)unused, make_namespace(CLONE_NEWUSER); }
static int mount_namespace(void *unused) { return (void)unused, make_namespace(CLONE_NEWNS); }
static int network_namespace(void *unused) { return (void)unused, make_namespace(CLONE_NEWNET); }
static int pid_namespace(void *unused) { return (void)unused, make_namespace(CLONE_NEWPID); }
/* What most kernel exploits of these years begin with: all capabilities over a network stack of one's own. */
static int user_and_network(void *unused) { return (void)unused, make_namespace(CLONE_NEWUSER | CLONE_NEWNET); }

static int file_handle(void *unused)
{
    (void)unused;
    struct {
        struct file_handle handle;
        char space[128];
    } both;
    int mount_id;
    both.handle.handle_bytes = sizeof both.space;
    if (name_to_handle_at(AT_FDCWD, "/", &both.handle, &mount_id, 0) < 0) {
        if (errno != EOPNOTSUPP)
            return errno;
        both.handle.handle_bytes = 8; /* overlays have no handles; whether one may be opened is asked before what it is */
        both.handle.handle_type = 1;
    }
    int root = open("/", O_RDONLY | O_DIRECTORY);
    int fd = open_by_handle_at(root, &both.handle, O_RDONLY);
    return fd < 0 && errno != ESTALE && errno != EOPNOTSUPP ? errno : 0;
}

static int fanotify(void *unused) { return (void)unused, ERROR_OF(fanotify_init(FAN_CLASS_CONTENT, O_RDONLY)); }

static int compare(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(__NR_kcmp, getpid(), getpid(), 1, 0, 0));
}

static int no_randomization(void *unused)
{
    (void)unused;
    return ERROR_OF(personality(ADDR_NO_RANDOMIZE));
}

static int change_root(void *unused) { return (void)unused, ERROR_OF(chroot("/")); }

static int mount_tmpfs(void *unused)
{
    (void)unused;
    if (on_host && leave_host() != 0)
        return EPERM;
    if (mount("none", "/tmp", "tmpfs", 0, "size=4k") < 0)
        return errno;
    umount2("/tmp", MNT_DETACH);
    return 0;
}

static int new_mount(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(428 /* open_tree */, AT_FDCWD, "/", 1 /* OPEN_TREE_CLONE */));
}

static int set_host_name(void *unused)
{
    (void)unused; /* to what it is */
    char name[256];
    if (on_host && leave_host() != 0)
        return EPERM;
    if (gethostname(name, sizeof name) < 0)
        return errno;
    return ERROR_OF(sethostname(name, strlen(name)));
}

static int make_device(void *unused)
{
    (void)unused;
    char path[] = "/tmp/nodeagent-isolation-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return errno;
    close(fd);
    unlink(path);
    if (mknod(path, S_IFCHR | 0600, makedev(1, 3)) < 0) /* as /dev/null */
        return errno;
    unlink(path);
    return 0;
}

static int run_from_memory(void *unused)
{
    (void)unused;
    return ERROR_OF(syscall(__NR_memfd_create, "x", 2 /* MFD_ALLOW_SEALING */));
}

static int read_log(void *unused)
{
    (void)unused;
    char some[64]; /* SYSLOG_ACTION_READ_ALL: takes nothing away */
    return ERROR_OF(syscall(__NR_syslog, 3, some, sizeof some));
}

static int own_filter(void *unused)
{
    (void)unused;
    return ERROR_OF(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static int raw_io(void *unused)
{
    (void)unused;
#ifdef __NR_iopl
    return ERROR_OF(syscall(__NR_iopl, 3));
#else
    return ENOSYS;
#endif
}

static int real_time(void *unused)
{
    (void)unused;
    struct sched_param parameter = {.sched_priority = 1};
    return ERROR_OF(sched_setscheduler(0, SCHED_FIFO, &parameter));
}

static int hugger(void *unused)
{
    (void)unused;
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return page == MAP_FAILED ? errno : 0;
}

static const struct {
    const char *name;
    int (*work)(void *);
} ATTEMPTS[] = {
    {"bpf map", bpf_map},
    {"perf own", perf_own},
    {"perf kernel", perf_kernel},
    {"userfaultfd", userfaults},
    {"io_uring", ring},
    {"add key", add_key},
    {"session keyring", session_keyring},
    {"ptrace child", trace_child},
    {"read child memory", read_child},
    {"user namespace", user_namespace},
    {"user and network namespace", user_and_network},
    {"mount namespace", mount_namespace},
    {"network namespace", network_namespace},
    {"pid namespace", pid_namespace},
    {"open by handle", file_handle},
    {"fanotify", fanotify},
    {"kcmp", compare},
    {"no address randomization", no_randomization},
    {"chroot", change_root},
    {"mount tmpfs", mount_tmpfs},
    {"open_tree clone", new_mount},
    {"set host name", set_host_name},
    {"make device", make_device},
    {"memfd", run_from_memory},
    {"kernel log", read_log},
    {"own seccomp filter", own_filter},
    {"raw io ports", raw_io},
    {"real-time priority", real_time},
    {"writable and executable memory", hugger},
};

void section_attempts(char *argument)
{
    (void)argument;
    for (size_t i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
        int number = 0, status = in_child(ATTEMPTS[i].work, NULL, 2000, &number);
        char died[32];
        snprintf(died, sizeof died, number ? "signal %d" : "blocks", number);
        json_string(ATTEMPTS[i].name, status < 0 ? died : error_name(status));
    }
}
