"""A program that gives and takes rules of pods without end, to be killed: `churning.py NUMBER`."""

import sys
from ipaddress import ip_interface

from cni.native.nftables_rules import NftablesRules
from cni.native.rules import HostPort, PodRules


def rules_of(number: int) -> PodRules:
    addresses = (ip_interface(f"10.92.{number >> 8}.{number & 255}/16"), ip_interface(f"fd92::{number:x}/64"))
    ports = (HostPort(protocol="tcp", host_port=10000 + number, container_port=80),)
    return PodRules(
        network="churning", container_id=str(number), ifname="eth0", bridge="br0", addresses=addresses, host_ports=ports
    )


def main() -> None:
    rules, first = NftablesRules(), 100 * (int(sys.argv[1]) + 1)
    while True:
        for number in range(first, first + 10):
            rules.apply(rules_of(number))
            print(number, flush=True)
        for number in range(first, first + 10):
            rules.remove(*rules_of(number).owner)


if __name__ == "__main__":
    main()
