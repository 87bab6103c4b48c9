/*
 * Preloaded into User-Mode Linux by hack/uml/run on processors whose floating-point state is larger than it knows.
 *
 * UML 6.1 saves and restores that state by ptrace with NT_X86_XSTATE and a buffer of a fixed size. Where the processor has
 * AMX, the state is larger: reading it gets the first part, which is harmless, but the host refuses to write less than the
 * whole ("userspace - ptrace set fp regs failed, errno = 14"), so the kernel dies with its first process. Here what UML
 * writes is laid over the beginning of the full state as it is. The two AMX components are marked as in their initial
 * state (bits 17 and 18 of XSTATE_BV, Intel SDM volume 1, 13.4.2): no process inside can use them.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define XSTATE_BV_OFFSET 512
#define AMX_COMPONENTS (UINT64_C(3) << 17)

typedef long ptrace_function(int request, pid_t pid, void *address, void *data);

/* UML runs on small stacks of its own and on one thread. */
static unsigned char full[64 * 1024] __attribute__((aligned(64)));

static ptrace_function *next_ptrace(void) {
    static ptrace_function *found;
    if (!found)
        found = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
    return found;
}

__attribute__((constructor)) static void look_up_early(void) { next_ptrace(); }

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);

    struct iovec *part = data;
    struct iovec whole = {full, sizeof(full)};
    if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || (uintptr_t)address != NT_X86_XSTATE ||
        part->iov_len > sizeof(full))
        return next_ptrace()(request, pid, address, data);

    long result = next_ptrace()(PTRACE_GETREGSET, pid, address, &whole);
    if (result)
        return result;
    if (part->iov_len > whole.iov_len)
        part->iov_len = whole.iov_len;
    if (request == PTRACE_GETREGSET) {
        memcpy(part->iov_base, full, part->iov_len);
        return 0;
    }
    memcpy(full, part->iov_base, part->iov_len);
    if (whole.iov_len >= XSTATE_BV_OFFSET + sizeof(uint64_t)) {
        uint64_t components;
        memcpy(&components, full + XSTATE_BV_OFFSET, sizeof(components));
        components &= ~AMX_COMPONENTS;
        memcpy(full + XSTATE_BV_OFFSET, &components, sizeof(components));
    }
    return next_ptrace()(PTRACE_SETREGSET, pid, address, &whole);
}
