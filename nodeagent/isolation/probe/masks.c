/* Whether what the runtime has masked, or made read-only, in /proc is reached all the same; and the release_agent of cgroup v1.
 *
 * Each way is tried in a child with mounts of its own. What it leads to is only opened. A release_agent is asked whether it may be
 * written, by writing back what was read from it: the kernel refuses that write itself to who has no CAP_SYS_ADMIN.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "probe.h"

#define PROC_MAGIC 0x9fa0
#define UNMASKED 250 /* of a child: not to be written, but the mask is gone */

static const char *volatile *step; /* shared with the child: what it was at */

static int failed(const char *what)
{
    *step = what;
    return errno;
}

/* What runtimes cover; of these the first that is covered here, or NULL. */
static const char *covered;

static int is_of_proc(int tree, const char *name)
{
    struct statfs kind;
    struct stat found;
    int fd = openat(tree, name, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    int own = fd >= 0 && fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && fstatfs(fd, &kind) == 0 && kind.f_type == PROC_MAGIC;
    if (fd >= 0)
        close(fd);
    return own;
}

static void find_covered(void)
{
    static const char *const NAMES[] = {"kcore", "keys", "timer_list", "sched_debug", "latency_stats"};
    int tree = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; tree >= 0 && covered == NULL && i < sizeof NAMES / sizeof *NAMES; i++)
        if (faccessat(tree, NAMES[i], F_OK, 0) == 0 && !is_of_proc(tree, NAMES[i]))
            covered = NAMES[i];
    if (tree >= 0)
        close(tree);
}

/* What a tree of proc gives: 0 when its core_pattern opens for writing, UNMASKED when what is covered in ours is not in it. */
static int tried(int tree)
{
    int fd = openat(tree, "sys/kernel/core_pattern", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    int error = failed("open");
    return covered != NULL && is_of_proc(tree, covered) ? UNMASKED : error;
}

static int tried_at(const char *path)
{
    int tree = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return tree < 0 ? failed("open") : tried(tree);
}

static int own_mounts(int flags)
{
    if (unshare(flags | CLONE_NEWNS) < 0)
        return failed("unshare");
    return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? failed("make private") : 0;
}

static int proc_again(void *unused)
{
    (void)unused;
    int error = own_mounts(0);
    if (error != 0)
        return error;
    return mount("proc", "/tmp", "proc", 0, NULL) < 0 ? failed("mount") : tried_at("/tmp");
}

static int grandchild(void *unused)
{
    (void)unused;
    return mount("proc", "/tmp", "proc", 0, NULL) < 0 ? failed("mount") : tried_at("/tmp");
}

/* As proc_again, with the rights that a user namespace gives: the kernel compares with what is seen already. */
static int proc_in_user_namespace(void *unused)
{
    (void)unused;
    char map[64];
    int user = (int)geteuid();
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID) < 0)
        return failed("unshare");
    snprintf(map, sizeof map, "0 %d 1", user);
    int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC); /* mounting asks for no user */
    ssize_t mapped = fd < 0 ? -1 : write(fd, map, strlen(map));
    (void)mapped; /* root of a container needs CAP_SETFCAP for it */
    if (fd >= 0)
        close(fd);
    int status = in_child(grandchild, NULL, 1500, NULL);
    return status < 0 ? EINTR : status;
}

static int remount(void *unused)
{
    (void)unused;
    int error = own_mounts(0);
    if (error != 0)
        return error;
    int one = mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL);
    return one < 0 && mount(NULL, "/proc", NULL, MS_REMOUNT | MS_BIND, NULL) < 0 ? failed("remount") : tried_at("/proc");
}

static int uncover(void)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s", covered);
    return umount2(path, MNT_DETACH);
}

static int take_off(void *unused)
{
    (void)unused;
    int error = own_mounts(0);
    if (error != 0)
        return error;
    if (umount2("/proc/sys", MNT_DETACH) < 0 && (covered == NULL || uncover() < 0))
        return failed("umount");
    return tried_at("/proc");
}

/* Without what is mounted over it. */
static int bind(void *unused)
{
    (void)unused;
    int error = own_mounts(0);
    if (error != 0)
        return error;
    return mount("/proc", "/tmp", NULL, MS_BIND, NULL) < 0 ? failed("bind") : tried_at("/tmp");
}

static int clone_tree(void *unused)
{
    (void)unused;
    int tree = (int)syscall(428 /* open_tree */, AT_FDCWD, "/proc", 1 /* OPEN_TREE_CLONE */ | O_CLOEXEC);
    return tree < 0 ? failed("open_tree") : tried(tree);
}

static int new_instance(void *unused)
{
    (void)unused;
    int context = (int)syscall(430 /* fsopen */, "proc", 1 /* FSOPEN_CLOEXEC */);
    if (context < 0)
        return failed("fsopen");
    if (syscall(431 /* fsconfig */, context, 6 /* FSCONFIG_CMD_CREATE */, NULL, NULL, 0) < 0)
        return failed("fsconfig");
    int tree = (int)syscall(432 /* fsmount */, context, 1, 0);
    return tree < 0 ? failed("fsmount") : tried(tree);
}

/* One that came along with a volume: a recursive bind of what the runtime works in has the container's own, before it was covered. */
static int elsewhere(void *unused)
{
    (void)unused;
    static char text[200000];
    char root[512], point[512];
    int best = -1;
    char *next = text;
    *step = "none";
    if (read_start("/proc/self/mountinfo", text, sizeof text) <= 0)
        return ENOENT;
    for (char *line; best != 0 && (line = strsep(&next, "\n")) != NULL;)
        if (strstr(line, " - proc ") != NULL && sscanf(line, "%*d %*d %*s %511s %511s", root, point) == 2 && strcmp(root, "/") == 0 &&
            strcmp(point, "/proc") != 0)
            best = tried_at(point);
    return best < 0 ? ENOENT : best;
}

static int by_own_root(void *unused) { return (void)unused, tried_at("/proc/self/root/proc"); }
static int by_thread(void *unused) { return (void)unused, tried_at("/proc/thread-self/root/proc"); }
static int by_first(void *unused) { return (void)unused, tried_at("/proc/1/root/proc"); }
static int direct(void *unused) { return (void)unused, tried_at("/proc"); }

static void tell(const char *name, int (*work)(void *))
{
    char text[64];
    *step = "";
    int number = 0, status = in_child(work, NULL, 2500, &number);
    if (status < 0)
        snprintf(text, sizeof text, "%s", number ? "killed" : "blocks");
    else if (status == 0 || status == UNMASKED)
        snprintf(text, sizeof text, "%s", status == 0 ? "ok" : "unmasked");
    else
        snprintf(text, sizeof text, "%s: %s", *step, error_name(status));
    json_string(name, text);
}

/* Whether a release_agent takes a write. */
static int writes_back(int folder)
{
    char text[4096];
    int fd = openat(folder, "release_agent", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return failed("open");
    if (on_host) /* what the host's root may do is known */
        return close(fd), 0;
    ssize_t length = read(fd, text, sizeof text);
    if (length <= 0 || length == (ssize_t)sizeof text)
        return errno = EIO, failed("read");
    int error = pwrite(fd, text, (size_t)length, 0) < 0 ? failed("write") : 0;
    close(fd);
    return error;
}

static int mounted_agent(void *point)
{
    int folder = open(point, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 ? failed("open") : writes_back(folder);
}

static int mount_and_write(void *controllers)
{
    if (mount("cgroup", "/tmp", "cgroup", 0, controllers) < 0)
        return failed("mount");
    return mounted_agent("/tmp");
}

/* A hierarchy that is there already, at its root: mounting one of other controllers would make it. */
static int agent_by_mount(void *controllers)
{
    int error = own_mounts(0);
    return error != 0 ? error : mount_and_write(controllers);
}

/* CVE-2022-0492: a user namespace and a cgroup namespace gave the rights that the write did not ask for. */
static int agent_by_namespace(void *controllers)
{
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
        return failed("unshare");
    return mount_and_write(controllers);
}

static char *first_controllers(char *text)
{
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        char *names = strchr(line, ':'), *end = names == NULL ? NULL : strchr(++names, ':');
        if (end == NULL || end == names)
            continue; /* v2 */
        *end = '\0';
        if (strchr(names, '=') == NULL)
            return names;
    }
    return NULL;
}

static void agents(void)
{
    static char mounts[200000], cgroups[8192];
    json_open("release agents", '{');
    int some = 0;
    if (read_start("/proc/self/mounts", mounts, sizeof mounts) > 0) {
        char *next = mounts, point[512], kind[64], line_of_own[600];
        for (char *line; (line = strsep(&next, "\n")) != NULL;)
            if (sscanf(line, "%*s %511s %63s", point, kind) == 2 && strcmp(kind, "cgroup") == 0 && some++ < 20) {
                snprintf(line_of_own, sizeof line_of_own, "%s", point);
                *step = "";
                int status = in_child(mounted_agent, point, 1000, NULL);
                char text[64];
                snprintf(text, sizeof text, "%s: %s", *step, status < 0 ? "blocks" : error_name(status));
                json_string(line_of_own, status == 0 ? "ok" : text);
            }
    }
    json_close('}');
    char *controllers = read_start("/proc/self/cgroup", cgroups, sizeof cgroups) > 0 ? first_controllers(cgroups) : NULL;
    json_string("hierarchy", controllers == NULL ? "" : controllers);
    if (controllers == NULL || on_host)
        return;
    static const struct {
        const char *name;
        int (*work)(void *);
    } WAYS[] = {{"agent of a hierarchy mounted", agent_by_mount}, {"agent in namespaces", agent_by_namespace}};
    for (size_t i = 0; i < 2; i++) {
        *step = "";
        int status = in_child(WAYS[i].work, controllers, 1500, NULL);
        char text[64];
        snprintf(text, sizeof text, "%s: %s", *step, status < 0 ? "blocks" : error_name(status));
        json_string(WAYS[i].name, status == 0 ? "ok" : text);
    }
}

void section_masks(char *argument)
{
    static const struct {
        const char *name;
        int (*work)(void *);
    } WAYS[] = {
        {"directly", direct},
        {"proc again", proc_again},
        {"proc again, in a user namespace", proc_in_user_namespace},
        {"proc by the newer calls", new_instance},
        {"remount", remount},
        {"taken off", take_off},
        {"bind", bind},
        {"open_tree", clone_tree},
        {"elsewhere", elsewhere},
        {"/proc/self/root", by_own_root},
        {"/proc/thread-self/root", by_thread},
        {"/proc/1/root", by_first},
    };
    (void)argument;
    step = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (step == MAP_FAILED) {
        json_string("error", error_name(errno));
        return;
    }
    find_covered();
    json_string("covered", covered == NULL ? "" : covered);
    json_open("ways", '{');
    for (size_t i = 0; i < sizeof WAYS / sizeof *WAYS; i++)
        if (!on_host || WAYS[i].work == direct)
            tell(WAYS[i].name, WAYS[i].work);
    json_close('}');
    agents();
}
