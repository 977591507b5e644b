"""What every room needs: errors, params, seeds, files, resume state, devices, progress."""
