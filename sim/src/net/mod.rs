//! Floor 3: one kernel.
