"""What a run will cost: time, memory and disk of each stage, from a few measured steps."""

import auggen.core  # noqa: F401  # says how torch's threads wait, before torch is loaded
