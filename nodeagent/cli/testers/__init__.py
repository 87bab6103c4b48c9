"""`nodeagent cni test` and `nodeagent csi test`: their options, and the way to `nodeagent/testers`, which needs an extra."""
