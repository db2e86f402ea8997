//! Any bytes as a pcap or pcapng file, and each of its packets dissected.

#![no_main]

use bpftwin_sim::wire::dissect::dissect;
use bpftwin_sim::wire::pcap;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(packets) = pcap::read(bytes) else { return };
    for packet in packets {
        let _ = dissect(&packet.data);
    }
});
