"""Runtimes served on a unix socket as a CRI v1 endpoint: for crictl, or a kubelet's `--container-runtime-endpoint`.

socket ─ calls.py (errors, read-only) ─┬─ runtime_verbs.py ─┬─ router.py ─ the runtimes of a registry, by handler and by id
                                       └─ image_verbs.py   ─┘
"""
