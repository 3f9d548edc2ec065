"""Images from networks: generators, statistics, priors, inversion."""
