"""Pure measures on embeddings: similarity, verification, identification, consistency."""
