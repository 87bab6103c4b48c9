/* What files cost: through the page cache, to the disk, and their names. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench.h"
#include "probe.h"

#define BLOCK (1 << 20)
#define BLOCKS 16

struct file {
    int fd;
    char path[512];
    char *block;
    unsigned long long at;
};

static int moved(ssize_t count, size_t wanted) { return count == (ssize_t)wanted ? 0 : count < 0 ? errno : ENOSPC; }

static int write_block(void *data)
{
    struct file *file = data;
    return moved(pwrite(file->fd, file->block, BLOCK, (off_t)(file->at++ % BLOCKS) * BLOCK), BLOCK);
}

static int read_block(void *data)
{
    struct file *file = data;
    return moved(pread(file->fd, file->block, BLOCK, (off_t)(file->at++ % BLOCKS) * BLOCK), BLOCK);
}

static int read_page(void *data)
{
    struct file *file = data;
    file->at = mix(file->at, 2);
    return moved(pread(file->fd, file->block, 4096, (off_t)(file->at % (BLOCKS * BLOCK / 4096)) * 4096), 4096);
}

static int sync_page(void *data)
{
    struct file *file = data;
    int error = moved(pwrite(file->fd, file->block, 4096, (off_t)(file->at++ % BLOCKS) * 4096), 4096);
    return error != 0 ? error : ERROR_OF(fdatasync(file->fd));
}

static int make_and_remove(void *data)
{
    struct file *file = data;
    int fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    close(fd);
    return ERROR_OF(unlink(file->path));
}

/* storage=RUNS:MS:FOLDER: blocks written and read (MiB/s), pages read at random, written to the disk, files made and removed (ns). */
void section_storage(char *argument)
{
    struct bench bench = bench_of(argument);
    struct file file = {.block = calloc(1, BLOCK)};
    snprintf(file.path, sizeof file.path, "%s/.probe-%d", bench.rest, (int)getpid());
    file.fd = open(file.path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file.fd < 0 || file.block == NULL) {
        json_string("error", error_name(errno));
        return;
    }
    unlink(file.path);
    for (int i = 0; i < BLOCKS; i++)
        if (write_block(&file) != 0)
            break;
    bench_rate(&bench, "write", 1, write_block, &file);
    bench_rate(&bench, "read", 1, read_block, &file);
    bench_time(&bench, "read page", read_page, &file);
    bench_time(&bench, "sync page", sync_page, &file);
    bench_time(&bench, "make and remove", make_and_remove, &file);
    close(file.fd);
    free(file.block);
}
