"""From photographs on disk to face sets, identity-disjoint splits and benchmark lists."""
