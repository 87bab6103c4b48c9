"""The native network: bridge, addresses, masquerading and host ports of pods, without programs.

`plugin` is a CNI plugin written as functions. Behind two doors: `in_process` runs it in an agent, as the plugin type
`nodeagent-cni` of any chain (`cni.network.Network`); `protocol` is the executable `nodeagent-cni` for other runtimes.
"""
