//! Floor 1: bytes and their meaning.
//!
//! | module | what it is |
//! |---|---|
//! | [`checksum`] | the Internet checksum as the kernel computes and updates it |
//! | [`layer`] | protocol headers as tables of fields |
//! | [`dissect`] | a frame, layer by layer and field by field |
//! | [`diff`] | two frames, compared field by field |
//! | [`expr`] | frames from packet expressions, a subset of Scapy's |
//! | [`edit`] | frames from other frames, some fields set |
//! | [`pcap`] | captures: reading pcap and pcapng, writing pcapng |

pub mod checksum;
pub mod diff;
pub mod dissect;
pub mod edit;
pub mod expr;
pub mod layer;
pub mod pcap;
mod seal;
