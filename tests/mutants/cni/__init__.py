"""Faulty CNI plugins: each spoils one thing of a real plugin, and names the checks of cni/testing that must find it.

A mutant is a function of a few lines in one of the files here, and a line nowhere else:

    @spoils("bridge", caught_by="D1")
    def leaves_the_pair(call: Call) -> Answer:
        \"""DEL gives the address back and leaves both ends of the pair.\"""
        return call.delegate("host-local") if call.command == "DEL" else call.real()

`call.py` is what it is given, `mutant.py` the decorators, `networks.py` the networks, whose real plugins are the controls,
`odd.py` what looks wrong and is allowed, `table.py` all of them. `program.py` makes programs of them, and `over_mutants.py` is an
author's test file with a list of networks (tests/node/cni/test_mutants.py runs it). A plugin imports only what is quickly there.
docs/testing-cni-proof.md is the table, written by hack/generate-cni-proof.
"""
