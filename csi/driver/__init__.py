"""A CSI driver over directories and files of one machine.

    python -m csi.driver --endpoint unix:///run/csi/csi.sock --node-id N --state-dir /var/lib/csi-hostpath

It is for use where one node's disk is the storage, and the healthy driver of the tests. A volume is a directory, or a file that
is a disk (ext4, or raw blocks, on a loop device). What a call has answered is on the disk: the driver may be killed at any point
and started again.

    server.py       the sockets; which class answers which call
    identity.py, volumes.py, snapshots.py, node.py, usage.py    the calls
    checks.py       what a request must have
    records.py, store.py    what is remembered, and how it comes onto the disk
    contents.py, tree_copy.py, image_copy.py    what is in a volume
    publication.py, mount_options.py    mounts and devices on the node
"""
