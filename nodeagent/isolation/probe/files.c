/* files=PATH,PATH,…: whether each can be read, and a hash of it; whether it could be opened for writing, which nothing is done with. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "probe.h"

#define START 160

static const char *writable(const char *path)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    if (fd < 0)
        return error_name(errno);
    close(fd);
    return "ok";
}

static uint64_t hash(const char *text, long length)
{
    uint64_t value = 14695981039346656037u; /* FNV-1a */
    for (long i = 0; i < length; i++)
        value = (value ^ (unsigned char)text[i]) * 1099511628211u;
    return value;
}

/* Reading takes messages away from whoever is meant to have them. */
static int is_only_opened(const char *path)
{
    return strcmp(path, "/proc/kmsg") == 0;
}

/* A report is passed on: it says that a pod sees a token, a log, an id, not what they are. What is judged by how it begins: whether
 * addresses are zeros, and a word that an experiment has laid out.
 */
static int is_told(const char *path)
{
    return strcmp(path, "/proc/kallsyms") == 0 || strncmp(path, "/niso", 5) == 0;
}

static void tell(const char *path)
{
    static char text[65536];
    struct stat found;
    json_open(path, '{');
    if (lstat(path, &found) < 0) {
        json_string("read", error_name(errno));
    } else if (S_ISDIR(found.st_mode)) {
        json_string("read", access(path, R_OK | X_OK) < 0 ? error_name(errno) : "ok");
        json_string("write", access(path, W_OK) < 0 ? error_name(errno) : "ok");
    } else if (is_only_opened(path)) {
        int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        json_result("read", fd < 0 ? -errno : 0);
    } else {
        long length = read_start(path, text, sizeof text);
        json_result("read", length);
        if (length >= 0) {
            char sum[24];
            json_number("size", length);
            snprintf(sum, sizeof sum, "%016llx", (unsigned long long)hash(text, length));
            json_string("hash", sum);
            if (!on_host && is_told(path))
                json_bytes("start", text, (size_t)(length < START ? length : START));
        }
        json_string("write", writable(path));
    }
    json_close('}');
}

void section_files(char *argument)
{
    for (char *path = strtok(argument, ","); path != NULL; path = strtok(NULL, ","))
        tell(path);
}
