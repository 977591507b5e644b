"""What every room needs: errors, params, seeds, files, resume state, devices, progress."""

import os

# torch's threads wait for each other by spinning, for milliseconds unless told otherwise. Beside
# another training both then take up to twice as long; a short spin costs next to nothing on an idle
# machine (LOG.md, 2026-11-27). torch's OpenMP (GNU) reads this when it is loaded.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
