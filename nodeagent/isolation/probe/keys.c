/* Keys in the session's keyring: one pod puts one there, another looks for it. */
#include <errno.h>
#include <linux/keyctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "probe.h"

#define SECONDS 120 /* after which the kernel takes a key away by itself */

void put_key(const char *word)
{
    long key = syscall(__NR_add_key, "user", word, "x", 1, KEY_SPEC_SESSION_KEYRING);
    json_result("add", key < 0 ? -errno : 0);
    if (key > 0)
        syscall(__NR_keyctl, KEYCTL_SET_TIMEOUT, key, SECONDS);
    long ring = syscall(__NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    json_number("session", ring);
}

/* keys=WORD: whether the neighbour's key of that word is found, and whether it is listed. */
void section_keys(char *word)
{
    static char text[65536];
    long key = syscall(__NR_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", word, 0);
    json_result("search", key < 0 ? -errno : 0);
    long length = read_start("/proc/keys", text, sizeof text);
    json_result("list", length);
    json_string("listed", length > 0 && *word && strstr(text, word) != NULL ? "yes" : "no");
    json_number("session", syscall(__NR_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
}
