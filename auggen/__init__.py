"""AugGen: mixed identities from your own faces, chosen, mixed in and measured."""
