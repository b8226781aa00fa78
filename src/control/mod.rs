//! The control side: reads Events, publishes Snapshots.
