"""A simulated runtime, for scale runs: sandboxes and containers are records in memory, and nothing runs.

What it is for: seeing what the agent and the API cost with thousands of pods on a small machine, and how the agent behaves
when all of them change at once. What it is not: a runtime. It keeps nothing across a restart of the agent, writes no logs,
and an exec does nothing and succeeds.

Settings (`options` of the handler): `startSeconds` and `stopSeconds`, how long a sandbox takes to come up and a container to
stop, default 0; `subnet`, where the pods' made-up addresses come from, default 198.18.0.0/15 (RFC 2544, benchmarks).
A pod's annotation `hollow.nodeagent.dev/exit-after` makes its containers end by themselves after so many seconds, with the
code of `hollow.nodeagent.dev/exit-code`, default 0.
"""
