"""Which images of the pool are worth training on, and how they enter the training."""
