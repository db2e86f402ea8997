//! Floor 1: bytes and their meaning.
