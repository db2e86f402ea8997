//! Floor 1: bytes and their meaning.
//!
//! | module | what it is |
//! |---|---|
//! | [`checksum`] | the Internet checksum as the kernel computes and updates it |

pub mod checksum;
