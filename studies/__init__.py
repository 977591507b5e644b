"""Studies: parameter settings compared over identity splits and seeds, as DVC experiments."""
