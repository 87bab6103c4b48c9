/* Device nodes: which there are, which of those that matter can be opened, and whether one can be made and opened.
 *
 * Opening is harmless for those below. Others (a watchdog, a tape, a serial line) do something when they are opened: they are only listed.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <linux/fs.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <termios.h>
#include <unistd.h>

#include "probe.h"

static const char *const OPENED[] = {
    "null", "zero", "full", "random", "urandom", "tty", "ptmx", "kmsg", "mem", "kmem", "port", "kvm", "fuse", "cuse", "net/tun",
    "loop-control", "loop[0-9]*", "vhost-*", "vsock", "vfio/*", "dri/*", "mapper/control", "btrfs-control", "hwrng", "userfaultfd",
    "autofs", "sgx_*", "sev", "nvidia*", "udmabuf", "uinput", "cpu_dma_latency",
};

static int is_opened(const char *name, int is_block)
{
    if (is_block)
        return 1;
    for (size_t i = 0; i < sizeof OPENED / sizeof *OPENED; i++)
        if (fnmatch(OPENED[i], name, 0) == 0)
            return 1;
    return 0;
}

static const char *opened(const char *path, int how)
{
    int fd = open(path, how | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return error_name(errno);
    close(fd);
    return "ok";
}

static void tell_node(const char *name, const struct stat *found)
{
    char path[512], numbers[32];
    int is_block = S_ISBLK(found->st_mode);
    snprintf(path, sizeof path, "/dev/%s", name);
    snprintf(numbers, sizeof numbers, "%u:%u", major(found->st_rdev), minor(found->st_rdev));
    json_open(name, '{');
    json_string("type", is_block ? "block" : "char");
    json_string("number", numbers);
    if (is_opened(name, is_block)) {
        json_string("read", opened(path, O_RDONLY));
        if (!is_block) /* udev wakes when a disk that was open for writing is closed */
            json_string("write", opened(path, O_WRONLY));
    }
    json_close('}');
}

static void list(const char *below, int *left)
{
    char path[512];
    snprintf(path, sizeof path, "/dev/%s", below);
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && *left > 0 && (entry = readdir(folder)) != NULL) {
        char name[400];
        struct stat found;
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "pts") == 0)
            continue;
        snprintf(name, sizeof name, "%.140s%s%.200s", below, *below ? "/" : "", entry->d_name);
        snprintf(path, sizeof path, "/dev/%s", name);
        if (lstat(path, &found) < 0)
            continue;
        if (S_ISDIR(found.st_mode) && strlen(name) < 60)
            list(name, left);
        else if (S_ISCHR(found.st_mode) || S_ISBLK(found.st_mode)) {
            (*left)--;
            tell_node(name, &found);
        }
    }
    if (folder != NULL)
        closedir(folder);
}

/* The biggest of this machine, for loop devices come and go. Returns 0 if there is none. */
static dev_t biggest_disk(void)
{
    static char text[16384];
    char *rest = NULL;
    unsigned long long most = 0;
    dev_t found = 0;
    if (read_start("/proc/partitions", text, sizeof text) <= 0)
        return 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        unsigned int a, b;
        unsigned long long blocks;
        if (sscanf(line, "%u %u %llu", &a, &b, &blocks) == 3 && blocks > most) {
            most = blocks;
            found = makedev(a, b);
        }
    }
    return found;
}

/* A disk of this machine by a node of our own: nothing is read. */
static const char *own_disk_node(void)
{
    dev_t disk = biggest_disk();
    if (disk == 0)
        return "no disk";
    char path[] = "/tmp/nodeagent-isolation-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return error_name(errno);
    close(fd);
    unlink(path);
    if (mknod(path, S_IFBLK | 0600, disk) < 0)
        return error_name(errno);
    const char *said = opened(path, O_RDONLY);
    unlink(path);
    return said;
}

static int kvm(void *unused)
{
    (void)unused;
    int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    return fd < 0 ? errno : ERROR_OF(ioctl(fd, 0xae00 /* KVM_GET_API_VERSION */, 0));
}

static int tun(void *unused)
{
    (void)unused; /* it goes with its descriptor */
    struct ifreq request;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "niso%d");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    return ERROR_OF(ioctl(fd, TUNSETIFF, &request));
}

/* A character pushed into the input of a terminal, which is our own. */
static int push_input(void *unused)
{
    (void)unused;
    int number = 0, unlock = 0;
    char path[32];
    int ours = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (ours < 0 || ioctl(ours, TIOCGPTN, &number) < 0 || ioctl(ours, TIOCSPTLCK, &unlock) < 0)
        return errno;
    snprintf(path, sizeof path, "/dev/pts/%d", number);
    if (setsid() < 0 && errno != EPERM)
        return errno;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return errno;
    ioctl(fd, TIOCSCTTY, 0);
    return ERROR_OF(ioctl(fd, TIOCSTI, "x"));
}

static int immutable(void *unused)
{
    (void)unused;
    char path[] = "/tmp/nodeagent-isolation-XXXXXX";
    int fd = mkstemp(path), flags = 0, changed, error;
    if (fd < 0)
        return errno;
    error = ERROR_OF(ioctl(fd, FS_IOC_GETFLAGS, &flags));
    changed = flags | FS_IMMUTABLE_FL;
    if (error == 0)
        error = ERROR_OF(ioctl(fd, FS_IOC_SETFLAGS, &changed));
    if (error == 0)
        ioctl(fd, FS_IOC_SETFLAGS, &flags);
    unlink(path);
    return error;
}

static void tell(const char *name, int (*work)(void *))
{
    int number = 0, status = in_child(work, NULL, 2000, &number);
    json_string(name, status < 0 ? "blocks" : error_name(status));
}

void section_devices(char *argument)
{
    (void)argument;
    int left = 300;
    json_open("nodes", '{');
    list("", &left);
    json_close('}');
    json_string("own disk node", own_disk_node());
    json_open("ioctls", '{');
    tell("KVM_GET_API_VERSION", kvm);
    if (!on_host) /* it would be an interface of the host's */
        tell("TUNSETIFF", tun);
    tell("TIOCSTI", push_input);
    tell("FS_IOC_SETFLAGS immutable", immutable);
    json_close('}');
}
