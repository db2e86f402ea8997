//! SYN cookies, which hide a secret: what is told of them, and whether they are taken back.

use bpftwin_sim::uapi::MapType;

use super::rig::{OUT, Rig, TC, TCP_CLOSE, TCP_ESTABLISHED, TCP_LISTEN, XDP, sockets, with_key};
use super::twin::spec;

/// Headers in `out`: IP at 64, TCP at 128; the cookie comes back as what is acknowledged.
#[test]
fn cookies() {
    let mut rig = Rig::new(&[]);
    for (header, generate, check, version) in [(20, 204, 206, 0x45), (40, 205, 207, 0x60)] {
        let options: [&[u8]; 7] = [
            &[],
            &[2, 4, 5, 180],
            &[1, 1, 1, 0, 2, 4, 5, 180],
            &[2, 4, 0, 0],
            &[3, 3, 7, 2, 4, 0x22, 0xf0, 0],
            &[2, 4, 4, 0x7e, 2, 3, 1, 1],
            &[254, 0, 2, 4, 5, 180, 0, 0],
        ];
        for options in options {
            for lie in [0, 1] {
                let mut out = vec![0; OUT];
                out[64..64 + header]
                    .copy_from_slice(&(0..header as u8).map(|byte| byte.wrapping_mul(7)).collect::<Vec<_>>());
                out[64] = version;
                out[128..148].copy_from_slice(&(30..50).collect::<Vec<u8>>());
                out[128 + 12] = ((5 + options.len() / 4 + lie) << 4) as u8;
                out[148..148 + options.len()].copy_from_slice(options);
                let len = 20 + options.len();
                // The segment that answers: the next sequence number, and the cookie and one acknowledged.
                let text = format!(
                    "r7 = value ll; r1 = r7; r1 += 64; r2 = r7; r2 += 128; r3 = {len}; call {generate};
                     r8 = r0; r8 s>>= 63; if r8 != 0 goto none; r8 = r0; r8 >>= 32; *(u64 *)(r7 +0) = r8;
                     w0 = w0; r0 += 1; r0 = be32 r0; *(u32 *)(r7 +136) = r0;
                     r0 = *(u32 *)(r7 +132); r0 = be32 r0; r0 += 1; r0 = be32 r0; *(u32 *)(r7 +132) = r0;
                     r1 = r7; r1 += 64; r2 = r7; r2 += 128; call {check}; *(u64 *)(r7 +8) = r0;
                     *(u8 *)(r7 +136) = 1; *(u8 *)(r7 +137) = 1; r0 = 0; *(u32 *)(r7 +136) = r0;
                     r1 = r7; r1 += 64; r2 = r7; r2 += 128; call {check}; *(u64 *)(r7 +16) = r0; r0 = 1; exit
                     none:
                     *(u64 *)(r7 +0) = r0; r0 = 1; exit"
                );
                for kind in [TC, XDP] {
                    rig.set_out(&out);
                    let (real, simulated) = rig.again(kind, &text, &[], 1);
                    assert_eq!(simulated, real, "{text} {options:?}");
                }
            }
        }
        for len in [0, 19, 20, 24] {
            let text = format!(
                "r7 = value ll; r1 = r7; r1 += 64; r2 = r7; r2 += 128; r3 = {len}; call {generate}; *(u64 *)(r7 +0) = r0;
                 r0 = 1; exit"
            );
            if len != 20 {
                rig.agree(TC, &text);
            }
        }
    }
}

#[test]
fn cookies_of_listeners() {
    let mut rig = Rig::new(&[spec(MapType::Sockmap, 4, 8, 16, 0)]);
    let all = sockets();
    for (key, (real, described)) in all.iter().enumerate() {
        let sim = rig.socket(described);
        rig.put(0, key as u32, (real, sim));
    }
    for key in [2, 3, 4] {
        assert!([TCP_LISTEN, TCP_ESTABLISHED, TCP_CLOSE].contains(&all[key].1.state));
        for (version, ip_len) in [(0x45, 20), (0x45, 19), (0x60, 40), (0x60, 39), (0x10, 40)] {
            for (doff, tcp_len) in [(0x50, 20), (0x50, 19), (0x60, 20), (0x60, 24)] {
                for flags in [0, 0x02, 0x10, 0x12, 0x04, 0x14, 0x03, 0x01] {
                    let mut out = vec![0; OUT];
                    (out[64], out[128 + 12], out[128 + 13]) = (version, doff, flags);
                    let ask = |helper: u32, at: u32| {
                        format!(
                            "r1 = r6; r2 = r7; r2 += 64; r3 = {ip_len}; r4 = r7; r4 += 128; r5 = {tcp_len}; call {helper};
                             *(u64 *)(r7 +{at}) = r0"
                        )
                    };
                    let text = format!(
                        "{}; call 1; if r0 == 0 goto none; r6 = r0; r7 = value ll; {}; {}; r1 = r6; call 86
                         none:
                         r0 = 1; exit",
                        with_key("map0", key as u32),
                        ask(100, 0),
                        ask(110, 8)
                    );
                    rig.set_out(&out);
                    let (real, simulated) = rig.again(XDP, &text, &[], 1);
                    assert_eq!(simulated, real, "{text} {:?}", all[key].1);
                }
            }
        }
    }
}
