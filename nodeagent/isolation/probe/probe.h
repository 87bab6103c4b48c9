/* The probe program: sections that look at what a process here sees and may do. Each prints one line of JSON.
 *
 * A section runs in a child of its own, so that one that crashes or hangs is told of and the others go on. It writes through the functions
 * below into memory; the line is printed when it is complete. Nothing here changes anything outside the process's own namespaces:
 * calls that could are made with arguments that fail, files that are written to are only opened.
 */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>

/* JSON. `key` NULL: an element of an array. */
void json_open(const char *key, char bracket); /* '{' or '[' */
void json_close(char bracket);                 /* '}' or ']' */
void json_string(const char *key, const char *value);
void json_bytes(const char *key, const char *value, size_t length); /* not UTF-8: each such byte as U+FFFD */
void json_number(const char *key, long long value);
void json_real(const char *key, double value);
void json_result(const char *key, long long result); /* "ok", or the name of errno when it is below 0 */

/* The name of an error number, from memory of our own; "ok" for 0. */
const char *error_name(int number);

/* What a call with the result `call` says: 0, or the error number. */
#define ERROR_OF(call) ((call) < 0 ? errno : 0)

/* Run `work` in a child and return what it returned (0 to 255), -1 when it was killed or took longer: `*signal_number` says by what. */
int in_child(int (*work)(void *), void *argument, int timeout_ms, int *signal_number);

/* The start of a file: how many bytes, or minus the error number. The text ends with a null byte. */
long read_start(const char *path, char *buffer, size_t size);

/* Whether this process is on the bare host (--host): what could touch it then happens in new namespaces. */
extern int on_host;
/* New IPC, UTS and mount namespaces for this process, the last with nothing that leads back. 0, or the error number. */
int leave_host(void);

/* From here on this process's calls are not carried out, but for exit_group: see filter.c. 0, or the error number. */
int lay_filter(void);

/* One section: `argument` is what stood after its name and `=`, or "". */
struct section {
    const char *name;
    void (*run)(char *argument);
    int timeout_seconds;
};

void section_identity(char *argument);
void section_syscalls(char *argument);
void section_attempts(char *argument);
void section_sockets(char *argument);
void section_devices(char *argument);
void section_filesystems(char *argument);
void section_files(char *argument);
void section_mounts(char *argument);
void section_processes(char *argument);
void section_network(char *argument);
void section_reach(char *argument);
void section_environment(char *argument);
void section_clocks(char *argument);
void section_processor(char *argument);
void section_setuid(char *argument);
void section_masks(char *argument);
void section_descriptors(char *argument);
void section_roots(char *argument);
void section_runtime(char *file);
void section_keys(char *word);
void section_spoofing(char *victim);
void section_route(char *address);
void section_sleep(char *argument);
void section_started(char *argument);
void section_footprint(char *argument);
void section_calls(char *argument);
void section_switches(char *argument);
void section_work(char *argument);
void section_spawn(char *argument);
void section_storage(char *argument);
void section_tcp(char *argument);

void note_start(void); /* for section_started */

/* What a whole process is there for. It writes lines as it goes, and returns its exit status. */
typedef int role(char *argument);
role *find_role(const char *name); /* NULL: there is none */
void say(const char *section, const char *key, const char *value); /* a line with one fact */

role serve, victim, aggress, spin, grow_memory, bomb, descriptors, grow_file;

/* What the neighbour does: listens at a port, and in the abstract namespace of unix sockets, until it is told to end. */
int hold(const char *word);

/* What another neighbour does, that somebody tries to deceive (spoofing.c). */
int deceived(void);

/* A key of that name into the session's keyring, for some time; what came of it. */
void put_key(const char *word);

/* Write out what a process of this container has written to a file. */
void relay(const char *file);

#endif
