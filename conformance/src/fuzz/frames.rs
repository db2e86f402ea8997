//! Random frames: headers that parsers follow, with addresses and ports out of few, so that lookups hit; captured frames;
//! both scratched and cut now and then.

use bpftwin_sim::wire::pcap;

use super::Random;

/// IPv4 addresses frames and map keys are made of.
pub const IPV4: [[u8; 4]; 8] = [
    [10, 0, 0, 1],
    [10, 0, 0, 7],
    [10, 9, 7, 3],
    [192, 0, 2, 1],
    [192, 0, 2, 254],
    [10, 3, 1, 1],
    [127, 0, 0, 1],
    [224, 0, 0, 1],
];
/// IPv6 addresses, likewise.
pub const IPV6: [[u8; 16]; 5] = [
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
    [0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
    [0; 16],
];
/// MAC addresses, likewise.
pub const MAC: [[u8; 6]; 4] = [[2, 0, 0, 0, 0, 5], [2, 0, 0, 0, 0, 9], [2, 0, 0, 0, 1, 1], [0xff; 6]];
/// Ports, likewise.
pub const PORTS: [u16; 8] = [80, 443, 53, 6081, 4789, 12345, 0, 65535];

/// Makes frames.
#[derive(Debug)]
pub struct Frames {
    captured: Vec<Vec<u8>>,
}

impl Default for Frames {
    fn default() -> Self {
        let read = |capture: &bpftwin_pcaps::Capture| {
            // A malformed capture gives what is before its damage.
            let reader = pcap::Reader::new(capture.bytes).into_iter().flatten();
            reader.map_while(Result::ok).map(|packet| packet.data.to_vec()).collect::<Vec<_>>()
        };
        let mut captured: Vec<Vec<u8>> = bpftwin_pcaps::CAPTURES.iter().flat_map(read).collect();
        captured.retain(|frame| (14..=1600).contains(&frame.len()));
        Self { captured }
    }
}

impl Frames {
    /// A frame, its Ethernet header first.
    pub fn frame(&self, r: &mut Random) -> Vec<u8> {
        let mut frame = if r.chance(3) {
            self.captured[r.below(self.captured.len() as u64) as usize].clone()
        } else {
            ethernet(r)
        };
        if r.chance(4) {
            for _ in 0..=r.below(3) {
                let at = r.below((frame.len() as u64).min(90)) as usize;
                frame[at] = r.of(&[0, 1, 0xff, r.clone().next() as u8]);
            }
        }
        match r.below(12) {
            0 => frame.truncate(14 + r.below(frame.len() as u64) as usize),
            1 => frame.resize(r.of(&[60, 128, 600, 1514]), 0x5a),
            _ => {}
        }
        // BPF_PROG_TEST_RUN wants an Ethernet header.
        if frame.len() < 14 {
            frame.resize(14, 0);
        }
        frame
    }
}

fn ethernet(r: &mut Random) -> Vec<u8> {
    let mut out = [r.of(&MAC), r.of(&MAC)].concat();
    for _ in 0..r.of(&[0, 0, 0, 0, 1, 2, 3]) {
        out.extend(r.of(&[[0x81, 0], [0x88, 0xa8]]));
        out.extend(r.of(&[[0, 5], [0x20, 6], [0x0f, 0xff]]));
    }
    match r.below(12) {
        0 => out.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]),
        1 => out.extend(r.of(&[[0x88, 0x47], [0x88, 0xb5], [0, 60], [0x88, 0x63]])),
        2..=4 => {
            out.extend([0x86, 0xdd]);
            out.extend(ipv6(r, 2));
        }
        _ => {
            out.extend([8, 0]);
            out.extend(ipv4(r, 2));
        }
    }
    out.extend((0..r.below(64)).map(|byte| byte as u8));
    out
}

fn ipv4(r: &mut Random, depth: u32) -> Vec<u8> {
    let proto = r.of(&[6, 6, 6, 17, 17, 17, 1, 47, 4, 41, 50, 132, 255]);
    let inner = inside(r, proto, depth);
    let options = r.of(&[0, 0, 0, 0, 4, 8, 40]);
    let total = (20 + options + inner.len()) as u16;
    let mut ip = vec![0x45 + (options / 4) as u8, r.of(&[0, 0, 1, 0xb8])];
    ip.extend(total.to_be_bytes());
    ip.extend(r.of(&[[0, 1], [0xab, 0xcd]]));
    ip.extend(r.of(&[[0x40, 0], [0, 0], [0, 0], [0x20, 0], [0, 0x10]]));
    ip.extend([r.of(&[64, 64, 1, 0, 255]), proto, 0, 0]);
    ip.extend(r.of(&IPV4));
    ip.extend(r.of(&IPV4));
    ip.resize(20 + options, 1);
    let sum = ip.chunks(2).fold(0_u32, |sum, pair| sum + u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let folded = (sum & 0xffff) + (sum >> 16);
    let sum = !(((folded & 0xffff) + (folded >> 16)) as u16);
    ip[10..12].copy_from_slice(&(if r.chance(8) { 0 } else { sum }).to_be_bytes());
    ip.extend(inner);
    ip
}

fn ipv6(r: &mut Random, depth: u32) -> Vec<u8> {
    let proto = r.of(&[6, 6, 17, 17, 58, 0, 43, 44, 60, 41, 4, 47, 59]);
    let inner = if matches!(proto, 0 | 43 | 44 | 60) {
        let next = r.of(&[6, 17, 58, 44, 0]);
        let words = if proto == 44 { 0 } else { r.of(&[0, 0, 1, 2]) };
        let mut extension = vec![next, words, 0, r.of(&[0, 1, 8]), 0, 0, 0, 1];
        extension.resize(8 + 8 * usize::from(words), 1);
        extension.extend(inside(r, next, depth));
        extension
    } else {
        inside(r, proto, depth)
    };
    let mut ip = vec![0x60, r.of(&[0, 0x10]), 0, r.of(&[0, 7])];
    ip.extend((inner.len() as u16).to_be_bytes());
    ip.extend([proto, r.of(&[64, 64, 1, 0])]);
    ip.extend(r.of(&IPV6));
    ip.extend(r.of(&IPV6));
    ip.extend(inner);
    ip
}

/// What follows an IP header.
fn inside(r: &mut Random, proto: u8, depth: u32) -> Vec<u8> {
    let mut out = Vec::new();
    match proto {
        6 => {
            out.extend(r.of(&PORTS).to_be_bytes());
            out.extend(r.of(&PORTS).to_be_bytes());
            out.extend((r.next() as u32).to_be_bytes());
            out.extend((r.next() as u32).to_be_bytes());
            let options: &[u8] = [
                &[][..],
                &[2, 4, 5, 0xb4],
                &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7],
                &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
                &[0xfd, 6, 0, 0, 0, 7, 0, 0],
            ][r.below(5) as usize];
            let flags = r.of(&[2, 2, 0x10, 0x12, 0x18, 0x11, 4, 0, 0xff, 0xc2]);
            out.extend([0x50 + (options.len() as u8 / 4) * 16, flags, 1, 0, 0x9a, 0xbc, 0, 0]);
            out.extend(options);
        }
        17 => {
            let port = r.of(&PORTS);
            let inner = match (port, depth) {
                (4789, 1..) => [&[8, 0, 0, 0, 0, 0, 7, 0][..], &ethernet_inside(r, depth - 1)].concat(),
                (6081, 1..) => [&[0, 0, 0x65, 0x58, 0, 0, 7, 0][..], &ethernet_inside(r, depth - 1)].concat(),
                _ => (0..r.below(40)).map(|byte| byte as u8).collect(),
            };
            out.extend(r.of(&PORTS).to_be_bytes());
            out.extend(port.to_be_bytes());
            out.extend((8 + inner.len() as u16).to_be_bytes());
            out.extend(r.of(&[[0, 0], [0x12, 0x34]]));
            out.extend(inner);
        }
        1 | 58 => {
            out.extend([r.of(&[8, 0, 3, 11, 128, 129, 1, 2, 135]), r.of(&[0, 0, 4]), 0, 0, 0, 1, 0, 2]);
            if depth > 0 && r.chance(2) {
                out.extend(if proto == 1 { ipv4(r, 0) } else { ipv6(r, 0) });
            }
        }
        47 if depth > 0 => {
            out.extend(r.of(&[[0, 0], [0x20, 0], [0xb0, 0]]));
            if r.chance(2) {
                out.extend([8, 0]);
                out.extend(ipv4(r, depth - 1));
            } else {
                out.extend([0x65, 0x58]);
                out.extend(ethernet_inside(r, depth - 1));
            }
        }
        4 if depth > 0 => out.extend(ipv4(r, depth - 1)),
        41 if depth > 0 => out.extend(ipv6(r, depth - 1)),
        _ => out.extend([0, 1, 2, 3, 4, 5, 6, 7]),
    }
    out
}

fn ethernet_inside(r: &mut Random, depth: u32) -> Vec<u8> {
    let mut out = [r.of(&MAC), r.of(&MAC)].concat();
    if r.chance(3) {
        out.extend([0x86, 0xdd]);
        out.extend(ipv6(r, depth));
    } else {
        out.extend([8, 0]);
        out.extend(ipv4(r, depth));
    }
    out
}
