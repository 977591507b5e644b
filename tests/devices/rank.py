"""Started by accelerate in place of a stage: says which process of how many it is."""

import os
import sys

line = f"rank {os.environ.get('RANK', '0')} of {os.environ.get('WORLD_SIZE', '1')}\n"
sys.stdout.write(line)  # in one piece, for others write to the same pipe
