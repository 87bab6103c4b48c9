"""Simulated fleets (`nodeagent hollow`): many agents in one process, each a node of its own to the API, that run nothing.

What they do with the API is what real nodes do, for it is the agent's own code: `parts.py` names the parts of `main.PARTS` that
would touch the machine, and what stands in their place. Everything else of a node is made as ever. See docs/hollow-fleets.md.
"""
