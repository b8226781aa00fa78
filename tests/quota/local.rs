//! What one process does: time, bounds, clocks that jump.
