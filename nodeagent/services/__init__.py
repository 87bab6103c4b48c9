"""Services of a standalone node: cluster addresses, node ports and external addresses lead to their pods, by nftables.

balancing     which endpoints of a Service's slices take connections (pure)
frontends     the addresses and ports of a Service, each with the endpoints behind it (pure)
table         the nftables table: its rules are the same for every Service
elements      what of the table says which Service leads where (pure)
kernel_table  that table in the kernel: read once, then changed by transactions
proxy         keeps the kernel as the API says
other_agents  who else on this machine leads the same addresses
"""
