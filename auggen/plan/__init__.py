"""What a run will cost: time, memory and disk of each stage, from a few measured steps."""
