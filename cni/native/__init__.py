"""The native network: what the CNI programs do, done in process over netlink."""
