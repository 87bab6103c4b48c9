"""Volumes for claims, from one CSI driver of this node: made, grown, and given back. Of standalone mode alone.

It is to the embedded API what external-provisioner and external-resizer are to a cluster's: a client with rights of its own,
which finds its driver's name on a claim and answers with a PersistentVolume. `controller.py` follows the API; `provisioning.py`,
`reclaiming.py` and `resizing.py` do one thing for one object, by the rules of `volume_request.py` and `expansion.py`. What is cut
off is done again: volumes are made by the claim's uid, and a claim whose volume the API does not know yet stays until it does.
"""
