/*
 * For tests of hack/uml/xstate.c: a host whose floating-point state is 8 KiB larger than the processor's, as with AMX.
 *
 * Preloaded after the library under test, so that it stands where the kernel does: reading gets as much as the buffer
 * holds of state and 8 KiB more; writing less than all of it is EFAULT, as in arch/x86/kernel/fpu/regset.c.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#define MORE 8192

typedef long ptrace_function(int request, pid_t pid, void *address, void *data);

static ptrace_function *real;
static unsigned char state[64 * 1024];

__attribute__((constructor)) static void look_up(void) { real = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace"); }

long ptrace(enum __ptrace_request request, ...) {
    va_list arguments;
    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    struct iovec *data = va_arg(arguments, void *);
    va_end(arguments);
    if ((request != PTRACE_GETREGSET && request != PTRACE_SETREGSET) || (uintptr_t)address != NT_X86_XSTATE)
        return real(request, pid, address, data);

    struct iovec own = {state, sizeof(state) - MORE};
    long result = real(PTRACE_GETREGSET, pid, address, &own);
    if (result)
        return result;
    size_t size = own.iov_len + MORE;
    if (request == PTRACE_GETREGSET) {
        memset(state + own.iov_len, 0, MORE);
        if (data->iov_len > size)
            data->iov_len = size;
        memcpy(data->iov_base, state, data->iov_len);
        return 0;
    }
    if (data->iov_len != size) {
        errno = EFAULT;
        return -1;
    }
    own.iov_base = data->iov_base;
    return real(PTRACE_SETREGSET, pid, address, &own);
}
