/* A server for figures of the network, and its client. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench.h"
#include "probe.h"
#include "tcp.h"

#define BLOCK (128 << 10)
#define PATIENCE_SECONDS 5
#define TRIES 50

static char block[BLOCK];

static int address_of(const char *place, struct sockaddr_in *address)
{
    char copy[64];
    snprintf(copy, sizeof copy, "%s", place);
    char *port = strrchr(copy, ':');
    if (port == NULL)
        return EINVAL;
    *port++ = '\0';
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_port = htons((unsigned short)atoi(port));
    return inet_pton(AF_INET, copy, &address->sin_addr) == 1 ? 0 : EINVAL;
}

/* Nobody waits forever, and small messages do not wait for more. */
static void set_options(int fd)
{
    struct timeval patience = {PATIENCE_SECONDS, 0};
    int yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static int moved(ssize_t count, size_t wanted) { return count == (ssize_t)wanted ? 0 : count < 0 ? errno : EPIPE; }

int tcp_connect(const char *place, char mode)
{
    struct sockaddr_in address;
    int error = address_of(place, &address);
    for (int i = 0; i < TRIES && error == 0; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return -errno;
        set_options(fd);
        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) {
            if (send(fd, &mode, 1, MSG_NOSIGNAL) == 1)
                return fd;
        }
        int why = errno;
        close(fd);
        if (why != ECONNREFUSED || i == TRIES - 1)
            return -why;
        poll(NULL, 0, 20);
    }
    return -error;
}

/* All of a message: not every kernel knows MSG_WAITALL. */
static ssize_t receive(int fd, char *message, size_t size)
{
    size_t have = 0;
    while (have < size) {
        ssize_t count = recv(fd, message + have, size - have, 0);
        if (count <= 0)
            return count < 0 ? count : (ssize_t)have;
        have += (size_t)count;
    }
    return (ssize_t)have;
}

int tcp_round_trip(int fd)
{
    char message[MESSAGE] = "";
    int error = moved(send(fd, message, MESSAGE, MSG_NOSIGNAL), MESSAGE);
    return error != 0 ? error : moved(receive(fd, message, MESSAGE), MESSAGE);
}

static int round_trip(void *fd) { return tcp_round_trip(*(int *)fd); }

/* One run: what is sent for so long, until all of it has been taken. */
static int sent(const char *place, int ms, double *mib_a_second)
{
    int fd = tcp_connect(place, TCP_SINK), error = 0;
    if (fd < 0)
        return -fd;
    long long begin = now_ns();
    double bytes = 0;
    while (error == 0 && now_ns() - begin < ms * 1000000LL) {
        ssize_t count = send(fd, block, sizeof block, MSG_NOSIGNAL);
        if (count < 0)
            error = errno;
        bytes += count > 0 ? (double)count : 0;
    }
    char done;
    if (error == 0)
        error = ERROR_OF(shutdown(fd, SHUT_WR));
    if (error == 0)
        error = moved(recv(fd, &done, 1, 0), 1);
    *mib_a_second = bytes / 1048576 / ((double)(now_ns() - begin) / 1e9);
    close(fd);
    return error;
}

/* tcp=RUNS:MS:IP:PORT: a message there and back (ns), and what one connection carries (MiB/s). */
void section_tcp(char *argument)
{
    struct bench bench = bench_of(argument);
    double rates[64];
    int fd = tcp_connect(bench.rest, TCP_ECHO), error = 0;
    if (fd < 0) {
        json_string("error", error_name(-fd));
        return;
    }
    bench_time(&bench, "round trip", round_trip, &fd);
    close(fd);
    for (int i = 0; i < bench.runs && error == 0; i++)
        error = sent(bench.rest, bench.ms, &rates[i]);
    if (error != 0) {
        json_string("throughput", error_name(error));
        return;
    }
    json_open("throughput", '[');
    for (int i = 0; i < bench.runs; i++)
        json_real(NULL, rates[i]);
    json_close(']');
}

static void answer(int fd)
{
    char mode = 0;
    set_options(fd);
    if (recv(fd, &mode, 1, 0) != 1)
        return;
    if (mode == TCP_ECHO)
        while (receive(fd, block, MESSAGE) == MESSAGE && send(fd, block, MESSAGE, MSG_NOSIGNAL) == MESSAGE)
            ;
    if (mode == TCP_SINK) {
        while (recv(fd, block, sizeof block, 0) > 0)
            ;
        send(fd, &mode, 1, MSG_NOSIGNAL);
    }
}

/* serve IP:PORT: a process for each connection, until it is told to end. */
int serve(char *place)
{
    struct sockaddr_in address;
    int yes = 1, port = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), error = address_of(place, &address);
    signal(SIGCHLD, SIG_IGN);
    setsockopt(port, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (error == 0 && (bind(port, (struct sockaddr *)&address, sizeof address) < 0 || listen(port, 64) < 0))
        error = errno;
    say("serving", "error", error_name(error));
    while (error == 0) {
        int fd = accept4(port, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            continue;
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            close(port);
            answer(fd);
            _exit(0);
        }
        close(fd);
    }
    return 1;
}
