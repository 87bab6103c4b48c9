/* One pod sends in another's name, its neighbour tells what it takes for true. Nothing here leaves the link between the two: each frame
 * goes to the neighbour alone, and the addresses that are made up are of TEST-NET-3 (RFC 5737), which nobody has. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/if_ether.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "json.h"
#include "probe.h"

#define CLAIMED "203.0.113.77" /* whose hardware address is claimed to be ours */
#define SENDER "203.0.113.78"  /* in whose name a packet is sent */
#define TCP_PORT 7777
#define UDP_PORT 7778
#define ROUNDS 20
#define ROUND_MS 50
#define VICTIM_MS 60000

static const unsigned char OUR_HARDWARE[6] = {0x02, 0x00, 0x5e, 0x00, 0x53, 0x01};

static struct sockaddr_in place(const char *address, int port)
{
    struct sockaddr_in found = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    inet_pton(AF_INET, address, &found.sin_addr);
    return found;
}

/* Of the kernel's table of neighbours: "hardware-address interface" of a complete entry, or empty. */
static void neighbour(const char *address, char *hardware, char *name)
{
    static char text[65536];
    char ip[64];
    unsigned int flags;
    *hardware = *name = '\0';
    if (read_start("/proc/net/arp", text, sizeof text) <= 0)
        return;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n"))
        if (sscanf(line, "%63s %*s 0x%x %31s %*s %31s", ip, &flags, hardware, name) == 4 && strcmp(ip, address) == 0 && (flags & 2))
            return;
    *hardware = *name = '\0';
}

static int bytes_of(const char *hardware, unsigned char *bytes)
{
    return sscanf(hardware, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", bytes, bytes + 1, bytes + 2, bytes + 3, bytes + 4, bytes + 5) == 6;
}

static int send_claim(int fd, unsigned index, const char *victim, const unsigned char *hardware)
{
    struct ether_arp claim;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ARP), .sll_ifindex = (int)index, .sll_halen = 6};
    memcpy(to.sll_addr, hardware, 6);
    memset(&claim, 0, sizeof claim);
    claim.ea_hdr.ar_hrd = htons(ARPHRD_ETHER);
    claim.ea_hdr.ar_pro = htons(ETHERTYPE_IP);
    claim.ea_hdr.ar_hln = 6;
    claim.ea_hdr.ar_pln = 4;
    claim.ea_hdr.ar_op = htons(ARPOP_REPLY);
    memcpy(claim.arp_sha, OUR_HARDWARE, 6);
    memcpy(claim.arp_tha, hardware, 6);
    inet_pton(AF_INET, CLAIMED, claim.arp_spa);
    inet_pton(AF_INET, victim, claim.arp_tpa);
    return sendto(fd, &claim, sizeof claim, 0, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
}

static int send_in_name(int fd, const char *victim)
{
    struct {
        struct iphdr ip;
        struct udphdr udp;
        char byte;
    } __attribute__((packed)) packet;
    struct sockaddr_in to = place(victim, 0);
    memset(&packet, 0, sizeof packet);
    packet.ip.version = 4;
    packet.ip.ihl = 5;
    packet.ip.ttl = 4;
    packet.ip.protocol = IPPROTO_UDP;
    inet_pton(AF_INET, SENDER, &packet.ip.saddr);
    packet.ip.daddr = to.sin_addr.s_addr;
    packet.ip.tot_len = htons(sizeof packet);
    packet.udp.source = htons(9);
    packet.udp.dest = htons(UDP_PORT);
    packet.udp.len = htons(sizeof packet.udp + 1);
    return sendto(fd, &packet, sizeof packet, 0, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
}

/* spoofing=IP of the neighbour that runs `probe deceived`. */
void section_spoofing(char *victim)
{
    char hardware[32], name[32];
    unsigned char bytes[6];
    struct sockaddr_in to = place(victim, TCP_PORT);
    int line = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int reached = line < 0 || connect(line, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
    json_string("neighbour", error_name(reached));
    int frames = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, htons(ETH_P_ARP));
    json_result("packet socket", frames < 0 ? -errno : 0);
    int packets = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
    json_result("raw socket", packets < 0 ? -errno : 0);
    if (reached != 0)
        return;
    neighbour(victim, hardware, name);
    int known = bytes_of(hardware, bytes), claims = 0, names = 0;
    json_string("hardware address known", known ? "yes" : "no");
    for (int i = 0; i < ROUNDS && (frames >= 0 || packets >= 0); i++) {
        if (frames >= 0 && known)
            claims = send_claim(frames, if_nametoindex(name), victim, bytes);
        if (packets >= 0)
            names = send_in_name(packets, victim);
        poll(NULL, 0, ROUND_MS);
    }
    if (frames >= 0 && known)
        json_string("claim sent", error_name(claims));
    if (packets >= 0)
        json_string("packet sent", error_name(names));
    if (write(line, "e", 1) == 1) /* the neighbour says what it has seen, and ends the line */
        read(line, hardware, 1);
    close(line);
}

static unsigned own_interface(void)
{
    struct ifaddrs *all = NULL;
    unsigned index = 0;
    if (getifaddrs(&all) == 0)
        for (struct ifaddrs *each = all; each != NULL && index == 0; each = each->ifa_next)
            if (each->ifa_addr != NULL && each->ifa_addr->sa_family == AF_INET && !(each->ifa_flags & IFF_LOOPBACK))
                index = if_nametoindex(each->ifa_name);
    freeifaddrs(all);
    return index;
}

/* Make the kernel ask who has the address, on our link: it takes no answer to what it has not asked. */
static int ask(int fd, unsigned index)
{
    struct sockaddr_in to = place(CLAIMED, 9);
    char space[CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct iovec byte = {"x", 1};
    struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &byte, .msg_iovlen = 1, .msg_control = space,
                             .msg_controllen = sizeof space};
    memset(space, 0, sizeof space);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    ((struct in_pktinfo *)(void *)CMSG_DATA(header))->ipi_ifindex = (int)index;
    return sendmsg(fd, &message, MSG_DONTROUTE) < 0 ? errno : 0;
}

static void leave(int number)
{
    (void)number;
    _exit(0);
}

static int listening(int kind, int port)
{
    struct sockaddr_in own = place("0.0.0.0", port);
    int fd = socket(AF_INET, kind | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0 || (kind == SOCK_STREAM && listen(fd, 4) < 0))
        return -1;
    return fd;
}

/* What has come to us from outside: an address in whose name a packet was, or nothing. */
static void take_packet(int fd, char *source)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    char byte[8];
    if (recvfrom(fd, byte, sizeof byte, MSG_DONTWAIT, (struct sockaddr *)&from, &size) > 0)
        inet_ntop(AF_INET, &from.sin_addr, source, 32);
}

/* The neighbour: it asks for an address that nobody has until it is told to end, then says who has it, and what has come from whom. */
int deceived(void)
{
    char hardware[32] = "", name[32], taken[32] = "", source[32] = "", byte;
    int door = listening(SOCK_STREAM, TCP_PORT), packets = listening(SOCK_DGRAM, UDP_PORT), line = -1, asked = 0;
    unsigned index = own_interface();
    signal(SIGTERM, leave);
    signal(SIGINT, leave);
    for (int i = 0; i < VICTIM_MS / ROUND_MS; i++) {
        struct pollfd ready[] = {{line < 0 ? door : line, POLLIN, 0}};
        if (line >= 0)
            asked = ask(packets, index);
        if (poll(ready, 1, ROUND_MS) == 1) {
            if (line < 0)
                line = accept4(door, NULL, NULL, SOCK_CLOEXEC);
            else if (read(line, &byte, 1) == 1 && byte == 'e')
                break;
        }
        take_packet(packets, source);
        neighbour(CLAIMED, hardware, name);
        if (*hardware)
            strcpy(taken, hardware);
    }
    json_begin("deceived");
    json_string("asked", error_name(asked));
    json_string("table", access("/proc/net/arp", R_OK) < 0 ? error_name(errno) : "ok");
    json_string("taken", taken);
    json_string("source", source);
    json_end();
    if (line >= 0)
        close(line);
    for (;;)
        pause();
}

/* route=IP: whether there is a way for packets to it. None is sent. */
void section_route(char *address)
{
    struct sockaddr_in to = place(address, 80), own;
    socklen_t size = sizeof own;
    char text[INET_ADDRSTRLEN] = "";
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0;
    if (error == 0 && getsockname(fd, (struct sockaddr *)&own, &size) == 0)
        inet_ntop(AF_INET, &own.sin_addr, text, sizeof text);
    json_string("found", error_name(error));
    json_string("source", text);
    if (fd >= 0)
        close(fd);
}
