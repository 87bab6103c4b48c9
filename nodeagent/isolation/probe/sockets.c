/* Which families and kinds of sockets can be made.
 *
 * The kernel loads the module of a family that it does not know yet, and a probe must not do that to a host. So only those that it has
 * (/proc/net/protocols names them) are made; of others the seccomp filter is asked alone, and "not loaded" means that it lets them pass.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "probe.h"

struct kind {
    const char *name;
    int family, type, protocol;
    const char *module; /* its name in /proc/net/protocols; NULL: not asked for there. Of netlink a kernel may load a protocol */
};

static const struct kind KINDS[] = {
    {"unix", AF_UNIX, SOCK_STREAM, 0, NULL},
    {"inet stream", AF_INET, SOCK_STREAM, 0, NULL},
    {"inet datagram", AF_INET, SOCK_DGRAM, 0, NULL},
    {"inet raw", AF_INET, SOCK_RAW, 1, NULL},
    {"inet ping", AF_INET, SOCK_DGRAM, 1, NULL},
    {"inet sctp", AF_INET, SOCK_STREAM, 132, "SCTP"},
    {"inet mptcp", AF_INET, SOCK_STREAM, 262, "MPTCP"},
    {"inet6 stream", AF_INET6, SOCK_STREAM, 0, NULL},
    {"inet6 raw", AF_INET6, SOCK_RAW, 58, NULL},
    {"packet", AF_PACKET, SOCK_RAW, 0x0300, "PACKET"},
    {"netlink route", AF_NETLINK, SOCK_RAW, 0, NULL},
    {"netlink netfilter", AF_NETLINK, SOCK_RAW, 12, NULL},
    {"netlink uevent", AF_NETLINK, SOCK_RAW, 15, NULL},
    {"netlink audit", AF_NETLINK, SOCK_RAW, 9, NULL},
    {"netlink xfrm", AF_NETLINK, SOCK_RAW, 6, NULL},
    {"netlink crypto", AF_NETLINK, SOCK_RAW, 21, NULL},
    {"vsock", 40, SOCK_STREAM, 0, "AF_VSOCK"},
    {"alg", 38, SOCK_SEQPACKET, 0, "ALG"},
    {"key", 15, SOCK_RAW, 2, "KEY"},
    {"rds", 21, SOCK_SEQPACKET, 0, "RDS"},
    {"tipc", 30, SOCK_SEQPACKET, 0, "TIPC"},
    {"can", 29, SOCK_RAW, 1, "RAW"},
    {"bluetooth", 31, SOCK_RAW, 1, "HCI"},
    {"x25", 9, SOCK_SEQPACKET, 0, "X25"},
    {"appletalk", 5, SOCK_DGRAM, 0, "DDP"},
    {"llc", 26, SOCK_STREAM, 0, "LLC"},
    {"nfc", 39, SOCK_SEQPACKET, 0, "NFC"},
    {"kcm", 41, SOCK_DGRAM, 0, "KCM"},
    {"qipcrtr", 42, SOCK_DGRAM, 0, "QIPCRTR"},
    {"smc", 43, SOCK_STREAM, 0, "SMC"},
    {"xdp", 44, SOCK_RAW, 0, "XDP"},
    {"mctp", 45, SOCK_DGRAM, 0, "MCTP"},
};

static int is_loaded(const struct kind *kind)
{
    static char text[16384];
    static long have = -1;
    if (have < 0 && (have = read_start("/proc/net/protocols", text, sizeof text)) < 0)
        have = 0;
    if (kind->module == NULL)
        return 1;
    size_t length = strlen(kind->module);
    for (const char *line = text; line != NULL && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, kind->module, length) == 0 && line[length] == ' ')
            return 1;
    }
    return 0;
}

static int make(const struct kind *kind)
{
    int fd = socket(kind->family, kind->type | SOCK_CLOEXEC, kind->protocol);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return error;
}

static int ask_filter(void *data)
{
    if (lay_filter() != 0)
        return ENOTRECOVERABLE;
    return make(data);
}

void section_sockets(char *argument)
{
    (void)argument;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++) {
        if (is_loaded(&KINDS[i])) {
            json_result(KINDS[i].name, -make(&KINDS[i]));
            continue;
        }
        int said = in_child(ask_filter, (void *)&KINDS[i], 1000, NULL);
        json_string(KINDS[i].name, said == ENOSYS ? "not loaded" : said == ENOTRECOVERABLE ? "not tried" : error_name(said));
    }
}
