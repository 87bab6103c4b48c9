/* Names of error numbers: the C library of one system has them, that of another does not. */
#include <errno.h>
#include <stdio.h>

#include "probe.h"

#define NAME(error) {error, #error}

static const struct {
    int number;
    const char *name;
} NAMES[] = {
    {0, "ok"},           NAME(EPERM),      NAME(ENOENT),       NAME(ESRCH),           NAME(EINTR),      NAME(EIO),
    NAME(ENXIO),         NAME(E2BIG),      NAME(ENOEXEC),      NAME(EBADF),           NAME(ECHILD),     NAME(EAGAIN),
    NAME(ENOMEM),        NAME(EACCES),     NAME(EFAULT),       NAME(ENOTBLK),         NAME(EBUSY),      NAME(EEXIST),
    NAME(EXDEV),         NAME(ENODEV),     NAME(ENOTDIR),      NAME(EISDIR),          NAME(EINVAL),     NAME(ENFILE),
    NAME(EMFILE),        NAME(ENOTTY),     NAME(ETXTBSY),      NAME(EFBIG),           NAME(ENOSPC),     NAME(ESPIPE),
    NAME(EROFS),         NAME(EMLINK),     NAME(EPIPE),        NAME(EDOM),            NAME(ERANGE),     NAME(EDEADLK),
    NAME(ENAMETOOLONG),  NAME(ENOLCK),     NAME(ENOSYS),       NAME(ENOTEMPTY),       NAME(ELOOP),      NAME(ENODATA),
    NAME(ENOTSOCK),      NAME(EDESTADDRREQ), NAME(EMSGSIZE),   NAME(EPROTOTYPE),      NAME(ENOPROTOOPT), NAME(EPROTONOSUPPORT),
    NAME(ESOCKTNOSUPPORT), NAME(EOPNOTSUPP), NAME(EPFNOSUPPORT), NAME(EAFNOSUPPORT),  NAME(EADDRINUSE), NAME(EADDRNOTAVAIL),
    NAME(ENETDOWN),      NAME(ENETUNREACH), NAME(ECONNABORTED), NAME(ECONNRESET),     NAME(ENOBUFS),    NAME(EISCONN),
    NAME(ENOTCONN),      NAME(ETIMEDOUT),  NAME(ECONNREFUSED), NAME(EHOSTDOWN),       NAME(EHOSTUNREACH), NAME(EALREADY),
    NAME(EINPROGRESS),   NAME(ESTALE),     NAME(EUCLEAN),      NAME(EDQUOT),          NAME(ENOKEY),     NAME(EKEYEXPIRED),
    NAME(EKEYREVOKED),   NAME(EOVERFLOW),  NAME(ENOTUNIQ),     NAME(EUSERS),          NAME(EPROTO),     NAME(EBADMSG),
    NAME(ENOTRECOVERABLE), NAME(EOWNERDEAD), NAME(ERFKILL),    NAME(ENOSTR),          NAME(EILSEQ),
};

const char *error_name(int number)
{
    static char other[16];
    for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
        if (NAMES[i].number == number)
            return NAMES[i].name;
    snprintf(other, sizeof other, "E%d", number);
    return other;
}
