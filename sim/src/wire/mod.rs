//! Floor 1: bytes and their meaning.
//!
//! | module | what it is |
//! |---|---|
//! | [`checksum`] | the Internet checksum as the kernel computes and updates it |
//! | [`pcap`] | captures: reading pcap and pcapng, writing pcapng |

pub mod checksum;
pub mod pcap;
