"""A simulated runtime, for scale runs: sandboxes and containers are records in memory, and nothing runs.

What it is for: seeing what the agent and the API cost with thousands of pods on a small machine, and how the agent behaves
when all of them change at once. What it is not: a runtime. It keeps nothing across a restart of the agent, writes no logs,
and an exec does nothing and succeeds.

Settings (`options` of the handler): `startSeconds`, `pullSeconds` and `stopSeconds`, how long a sandbox takes to come up, the
first pull of an image, and a container to stop, default 0; `spread`, the sigma of the log-normal around them, default 0: always
as long; `failures`, the share of sandboxes and pulls that fail; `crashes`, the share of containers that exit with 1 after
`crashAfterSeconds` (30); `seed`, of these draws: pods of the same names have the same fates again; `subnet`, where the pods'
made-up addresses come from, default 198.18.0.0/15 (RFC 2544, benchmarks).
A pod's annotation `hollow.nodeagent.dev/exit-after` makes its containers end by themselves after so many seconds, with the
code of `hollow.nodeagent.dev/exit-code`, default 0.
"""
