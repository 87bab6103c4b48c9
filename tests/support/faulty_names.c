/* Preloaded: the one name FAULTY_NAME leads where the file FAULTY_NAME_FILE says at that moment, and nowhere while that is empty.
 * (libnss_wrapper, which could do the same, crashes when several threads ask while its file changes.) */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int lookup(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
{
    lookup *next = (lookup *)dlsym(RTLD_NEXT, "getaddrinfo");
    const char *name = getenv("FAULTY_NAME");
    if (node == NULL || name == NULL || strcmp(node, name) != 0)
        return next(node, service, hints, found);
    char address[64] = "";
    FILE *file = fopen(getenv("FAULTY_NAME_FILE"), "re");
    if (file != NULL) {
        if (fscanf(file, "%63s", address) != 1)
            address[0] = '\0';
        fclose(file);
    }
    return address[0] == '\0' ? EAI_NONAME : next(address, service, hints, found);
}
