//! The programs of `bpf/engine.bpf.c`, the elements of their maps and the packet they run on.

use std::collections::BTreeMap;

use object::{Object, ObjectSection, ObjectSymbol, RelocationTarget};

/// Names of the programs, in the order of the table.
pub const NAMES: [&str; 5] = ["empty", "alu", "checksum", "lookup", "parser"];

/// Names of the maps and the sizes of their keys and values.
pub const MAPS: [(&str, u32, u32); 4] =
    [("counters", 4, 8), ("services", 8, 8), ("flows", 16, 24), ("policies", 8, 8)];

/// Compiled with the kernel's context: for the kernel and for ours.
pub const KERNEL_CONTEXT: &[u8] = include_bytes!("../prebuilt/engine.o");

/// Compiled with packet pointers of 64 bits: for rbpf.
pub const WIDE_CONTEXT: &[u8] = include_bytes!("../prebuilt/engine.wide.o");

/// `skb->mark`.
pub const MARK: u32 = 77;

/// Instruction slots of every program, by name. `map` gives the 64 bits by which an engine knows a map.
///
/// # Panics
/// If the object is not what `build.sh` makes.
pub fn link(elf: &[u8], map: impl Fn(&str) -> u64) -> BTreeMap<String, Vec<u64>> {
    let file = object::File::parse(elf).expect("an ELF file");
    let mut programs = BTreeMap::new();
    for section in file.sections() {
        let Some(name) = section.name().expect("a name").strip_prefix("tc/") else { continue };
        let bytes = section.data().expect("instructions");
        let mut slots: Vec<u64> =
            bytes.chunks_exact(8).map(|slot| u64::from_le_bytes(slot.try_into().expect("8 bytes"))).collect();
        for (offset, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { panic!("a symbol") };
            let symbol = file.symbol_by_index(index).expect("in the table").name().expect("named").to_owned();
            let (value, at) = (map(&symbol), offset as usize / 8);
            slots[at] = slots[at] & 0xffff_0fff | value << 32;
            slots[at + 1] = value >> 32 << 32;
        }
        programs.insert(name.to_owned(), slots);
    }
    programs
}

/// The elements of a map: keys and values.
pub fn elements(map: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let ports = |low: u16, high: u16| u32::from(low) | u32::from(high) << 16;
    let (port, backend) = (80_u16.to_be(), 8080_u16.to_be());
    match map {
        "counters" => (0..1000).map(|i: u32| (words(&[i]), words(&[i * 3, 0]))).collect(),
        // There and back: what one run rewrites, the next one rewrites again.
        "services" => vec![
            (words(&[VIP, ports(port, 6)]), words(&[BACKEND, ports(backend, 0)])),
            (words(&[BACKEND, ports(backend, 6)]), words(&[VIP, ports(port, 0)])),
        ],
        "flows" => [(BACKEND, backend), (VIP, port)]
            .map(|(address, port)| (words(&[CLIENT, address, ports(4242_u16.to_be(), port), 6]), vec![0; 24]))
            .to_vec(),
        "policies" => [backend, port].map(|port| (words(&[MARK, ports(port, 6)]), words(&[1, 0]))).to_vec(),
        _ => panic!("no map {map}"),
    }
}

const CLIENT: u32 = u32::from_le_bytes([192, 0, 2, 9]);
const VIP: u32 = u32::from_le_bytes([10, 0, 0, 1]);
const BACKEND: u32 = u32::from_le_bytes([10, 0, 1, 7]);

/// The packet: TCP to the service, 1,514 bytes.
pub fn packet() -> Vec<u8> {
    let mut packet = vec![0x22; 12];
    packet.extend([0x08, 0x00]);
    packet.extend([0x45, 0, 0x05, 0xdc, 0x12, 0x34, 0, 0, 64, 6, 0, 0]);
    packet.extend(CLIENT.to_le_bytes());
    packet.extend(VIP.to_le_bytes());
    packet.extend(4242_u16.to_be_bytes());
    packet.extend(80_u16.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0x20, 0, 0xab, 0xcd, 0, 0]);
    let payload = 1514 - packet.len();
    packet.extend((0..payload).map(|i| (i * 7) as u8));
    packet
}
