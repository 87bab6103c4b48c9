"""What can go wrong with the kernel's packet filter."""

import errno
import os

from cni.errors import CNIError

# what a kernel answers that lacks nf_tables, NAT or an expression, or to whom that is not allowed
_LACKING = frozenset(
    {errno.EOPNOTSUPP, errno.EPROTONOSUPPORT, errno.EAFNOSUPPORT, errno.EINVAL, errno.ENOENT, errno.EPERM, errno.EACCES}
)


class NftablesError(CNIError):
    """The kernel refused a change, or did not answer. `about` names the table, chain or element, `errno` says why."""

    def __init__(self, about: str, number: int, reason: str = "") -> None:
        name = errno.errorcode.get(number, str(number))
        super().__init__(f"netfilter: {about}: {os.strerror(number)} ({name}){f': {reason}' if reason else ''}")
        self.about = about
        self.errno = number


class NftablesForeign(NftablesError):
    """A table of our name is there that is not ours: it is left alone."""


class NftablesUnavailable(CNIError):
    """This kernel has no nf_tables with NAT, or does not let us use it. Permanent until somebody changes the host."""

    def __init__(self, cause: NftablesError) -> None:
        if cause.errno in (errno.EPERM, errno.EACCES):
            way_out = "give the agent CAP_NET_ADMIN in the host's network namespace"
        else:
            way_out = (
                "load the kernel's modules (modprobe -a nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_inet)"
                " or install iptables"
            )
        super().__init__("this kernel's nf_tables cannot be used", details=f"{cause.msg}; {way_out}")
        self.errno = cause.errno


def is_lack(error: NftablesError) -> bool:
    """Whether an error at the making of our own table means that this kernel, or this process, cannot have it."""
    return error.errno in _LACKING
