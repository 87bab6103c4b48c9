/* Connections to the server of `probe serve`: the first byte says what it does with what follows. */
#ifndef TCP_H
#define TCP_H

#include <stddef.h>

#define TCP_ECHO 'e' /* messages of MESSAGE bytes come back */
#define TCP_SINK 's' /* everything is taken until the end, then a byte comes back */
#define MESSAGE 64

/* place: IP:PORT. A descriptor; minus the error number. A server that does not listen yet is waited for, for a second. */
int tcp_connect(const char *place, char mode);

/* A message to an echo, and back. 0, or the error number. */
int tcp_round_trip(int fd);

#endif
