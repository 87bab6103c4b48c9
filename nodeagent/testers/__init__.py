"""Testers of CNI plugins and CSI drivers: the checks of `cni.testing` and `csi.testing`, run, and told as a CI wants it.

`suites` says which checks there are, `cni` and `csi` what is tested, `command` what both have in common. `child` runs them in
a process of its own (`recorder` is what sits in there), `report/` are the forms of the answer. Needs the extra `test`.
"""
