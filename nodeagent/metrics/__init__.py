"""What the agent counts of itself, and what is used as metrics: one registry, made by `assembly.host` and passed in.

Names are the kubelet's where it has one (docs/facts/node-resources.md 7.4), else nodeagent_*. Nothing below imports this
package: who has something to count has a Protocol beside him, or takes a function, and the assembly hands in what counts it.
"""
