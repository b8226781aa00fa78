//! The detection engine. Pure: no I/O, no clock, no await; the same text gives the same verdict.
