"""The face recogniser: backbones, margin heads, augmentation, training on real or mixed data."""
