"""What a student can be asked for besides the right class; usable in anybody's loop.

Where nothing is learnt an objective is a function of two networks' tensors, where something is
learnt or stored a module. `bequest.losses.objectives.catalog` lists all of them, without torch;
`bequest.losses.objectives.build` makes any of them fit two networks.
"""
