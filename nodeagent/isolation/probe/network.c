/* The network as it is seen, and who is reached. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe.h"

#define HOLD_PORT 7777
#define REACH_MS 1500

static void interfaces(void)
{
    struct ifaddrs *all = NULL;
    json_open("addresses", '[');
    if (!on_host && getifaddrs(&all) == 0)
        for (struct ifaddrs *each = all; each != NULL; each = each->ifa_next) {
            char text[INET6_ADDRSTRLEN] = "", both[100];
            if (each->ifa_addr == NULL)
                continue;
            if (each->ifa_addr->sa_family == AF_INET)
                inet_ntop(AF_INET, &((struct sockaddr_in *)each->ifa_addr)->sin_addr, text, sizeof text);
            else if (each->ifa_addr->sa_family == AF_INET6)
                inet_ntop(AF_INET6, &((struct sockaddr_in6 *)each->ifa_addr)->sin6_addr, text, sizeof text);
            else
                continue;
            snprintf(both, sizeof both, "%.32s %s", each->ifa_name, text);
            json_string(NULL, both);
        }
    json_close(']');
    freeifaddrs(all);
}

static int lines_of(const char *path)
{
    static char text[65536];
    int lines = 0;
    if (read_start(path, text, sizeof text) <= 0)
        return -1;
    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    return lines;
}

/* Flags of an interface, written as they are; on the host that of a network namespace of its own. */
static int set_flags(void *unused)
{
    (void)unused;
    struct ifreq request;
    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    if (on_host && unshare(CLONE_NEWNET) < 0)
        return errno;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0)
        return errno;
    return ERROR_OF(ioctl(fd, SIOCSIFFLAGS, &request));
}

static const char *abstract(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "%s", name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_name(errno);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(name));
    int error = ERROR_OF(connect(fd, (struct sockaddr *)&address, size));
    close(fd);
    return error_name(error);
}

/* network=WORD: whether the neighbour's abstract socket of that word is reached. */
void section_network(char *argument)
{
    interfaces();
    json_number("tcp sockets", lines_of("/proc/net/tcp") - 1);
    json_number("unix sockets", lines_of("/proc/net/unix") - 1);
    json_number("routes", lines_of("/proc/net/route") - 1);
    json_number("neighbours", lines_of("/proc/net/arp") - 1);
    int status = in_child(set_flags, NULL, 1000, NULL);
    json_string("set interface", status < 0 ? "blocks" : error_name(status));
    if (*argument)
        json_string("abstract socket", abstract(argument));
}

static int connected(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char copy[64];
    snprintf(copy, sizeof copy, "%s", text);
    char *port = strrchr(copy, ':');
    if (port == NULL)
        return EINVAL;
    *port++ = '\0';
    address.sin_port = htons((unsigned short)atoi(port));
    if (inet_pton(AF_INET, copy, &address.sin_addr) != 1)
        return EINVAL;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    socklen_t size = sizeof error;
    if (fd < 0)
        return errno;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        error = errno;
        struct pollfd wait = {fd, POLLOUT, 0};
        if (error == EINPROGRESS) {
            error = ETIMEDOUT;
            if (poll(&wait, 1, REACH_MS) == 1)
                getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
        }
    }
    close(fd);
    return error;
}

/* reach=NAME@IP:PORT,…: whether a connection comes about; a refused one shows that packets arrive. */
void section_reach(char *argument)
{
    for (char *name = strtok(argument, ","); name != NULL; name = strtok(NULL, ",")) {
        char *place = strchr(name, '@');
        if (place == NULL)
            continue;
        *place++ = '\0';
        json_string(name, error_name(connected(place)));
    }
}

static void leave(int number)
{
    (void)number;
    _exit(0);
}

int hold(const char *word)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(HOLD_PORT)};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int yes = 1, port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), abstract_one = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    setsockopt(port, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(port, (struct sockaddr *)&address, sizeof address) < 0 || listen(port, 16) < 0)
        perror("port");
    snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "%s", word);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(word));
    if (bind(abstract_one, (struct sockaddr *)&name, size) < 0 || listen(abstract_one, 16) < 0)
        perror("abstract socket");
    struct pollfd both[] = {{port, POLLIN, 0}, {abstract_one, POLLIN, 0}};
    for (;;)
        if (poll(both, 2, -1) > 0)
            for (int i = 0; i < 2; i++)
                if (both[i].revents & POLLIN)
                    close(accept(both[i].fd, NULL, NULL));
}
