"""Networks, their normalisation, and the safe reading and writing of their weights."""
