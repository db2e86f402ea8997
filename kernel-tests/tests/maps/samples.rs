//! User ring buffers: the same samples from user space on both sides, drained by the same program.

use std::os::fd::AsFd;

use bpftwin_kernel_tests::sys::UserRingBuffer;
use bpftwin_sim::uapi::MapType;

use super::rig::{Rig, TC, XDP};
use super::twin::spec;

/// The sum of every sample's first word goes to `out`, with how many there were, what reading the last one gave and what
/// draining gave; a first word of 9 ends it.
const SUM: &str = "r6 = value ll; r1 = map0 ll; r2 = sample ll; r3 = 0; r4 = FLAGS; call 209; *(u64 *)(r6 +16) = r0;
    r0 = 1; exit
    .func sample
    r3 = r1; r1 = 0; *(u64 *)(r10 -8) = r1; r1 = r10; r1 += -8; r2 = 4; r4 = 0; r5 = 0; call 201;
    r7 = value ll; *(u64 *)(r7 +24) = r0; r8 = *(u64 *)(r10 -8); r1 = *(u64 *)(r7 +0); r1 += r8; *(u64 *)(r7 +0) = r1;
    r1 = *(u64 *)(r7 +8); r1 += 1; *(u64 *)(r7 +8) = r1; r0 = 0; if r8 != 9 goto +1; r0 = 1; exit";

#[test]
fn samples_are_drained_alike() {
    const SIZE: u32 = 4096;
    let text = |flags: &str| SUM.replace("FLAGS", flags);
    let mut rig = Rig::new(&[spec(MapType::UserRingbuf, 0, 0, SIZE, 0)]);
    let mut real = UserRingBuffer::new(rig.maps[0].1.as_fd(), SIZE).expect("its memory");
    let batches: [&[(u32, usize, bool)]; 8] = [
        &[],
        &[(1, 4, false)],
        &[(1, 4, false), (2, 16, true), (4, 13, false)],
        &[(1, 8, false), (9, 4, false), (2, 4, false)],
        &[],
        &[(3, 2, false), (7, 0, false)],
        &[(5, 2000, false), (6, 1900, false)],
        &[(5, 2000, true), (6, 1900, false)],
    ];
    for batch in batches.iter().chain(&batches) {
        for &(word, len, discard) in *batch {
            let mut sample = vec![0; len.max(4)];
            sample[..4].copy_from_slice(&word.to_le_bytes());
            sample.truncate(len);
            let ring = rig.simulated.machine.maps.map(rig.maps[0].0).user_ringbuf().expect("it is one");
            assert_eq!(ring.produce(&sample, discard).is_ok(), real.produce(&sample, discard));
        }
        for flags in ["4", "0", "1", "2", "-1"] {
            rig.agree(TC, &text(flags));
        }
        rig.agree(XDP, &text("3"));
    }
}
