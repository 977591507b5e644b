"""Mixed identities: conditions, pairs, the search for weights, and the pool of images."""
