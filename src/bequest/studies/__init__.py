"""Methods bound to real data: arms, sizes and claims, one module a method."""
