"""The class-conditional generator: EDM, from scratch on one labelled face set."""
