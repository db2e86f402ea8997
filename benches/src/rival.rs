//! rbpf's interpreter. Its helpers are plain functions, so the maps are global; its packet pointers are 64 bits wide, so
//! the programs are compiled for that.
#![allow(unsafe_code)]

use std::collections::HashMap;
use std::ops::Range;
use std::sync::OnceLock;

use rbpf::EbpfVmMbuff;

use crate::programs::{self, MARK};

/// The context of `-DWIDE_CONTEXT`.
const CONTEXT_SIZE: usize = 24;

/// A map as a process that embeds rbpf would have it.
struct Map {
    /// The addresses of the values, by key.
    index: HashMap<Vec<u8>, u64>,
    /// All values, one after the other, never freed: one range for rbpf to check.
    values: Range<u64>,
}

fn maps() -> &'static [Map] {
    static MAPS: OnceLock<Vec<Map>> = OnceLock::new();
    MAPS.get_or_init(|| {
        let map = |&(name, _, value_size): &(&str, u32, u32)| {
            let elements = programs::elements(name);
            let values: Vec<u8> = elements.iter().flat_map(|(_, value)| value.clone()).collect();
            let values = Box::leak(values.into_boxed_slice()).as_ptr_range();
            let (start, end) = (values.start as u64, values.end as u64);
            let addresses = (start..end).step_by(value_size as usize);
            let index = elements.into_iter().map(|(key, _)| key).zip(addresses).collect();
            Map { index, values: start..end }
        };
        programs::MAPS.iter().map(map).collect()
    })
}

/// `bpf_map_lookup_elem`: a map is known by its number in [`programs::MAPS`].
fn lookup(map: u64, key: u64, _: u64, _: u64, _: u64) -> u64 {
    let size = programs::MAPS[map as usize].1 as usize;
    // SAFETY: the programs of this crate pass the address of a key of the map's size on their stack.
    let key = unsafe { std::slice::from_raw_parts(key as *const u8, size) };
    maps()[map as usize].index.get(key).copied().unwrap_or(0)
}

/// One program, ready to run again and again.
pub struct Runner<'a> {
    vm: EbpfVmMbuff<'a>,
    packet: Vec<u8>,
    context: [u8; CONTEXT_SIZE],
}

/// The bytes of the program `name` as rbpf takes them.
///
/// # Panics
/// If there is none.
pub fn bytes(name: &str) -> Vec<u8> {
    let number =
        |symbol: &str| programs::MAPS.iter().position(|map| map.0 == symbol).expect("one of the maps") as u64;
    let slots = programs::link(programs::WIDE_CONTEXT, number).remove(name).expect("a program");
    slots.into_iter().flat_map(u64::to_le_bytes).collect()
}

impl<'a> Runner<'a> {
    /// Prepares the program of these [`bytes`].
    ///
    /// # Panics
    /// If it does not load.
    pub fn new(program: &'a [u8]) -> Self {
        let mut vm = EbpfVmMbuff::new(Some(program)).expect("verifies");
        vm.register_helper(1, lookup).expect("registers");
        for map in maps() {
            vm.register_allowed_memory(map.values.clone());
        }
        let packet = programs::packet();
        let mut context = [0; CONTEXT_SIZE];
        let (start, len) = (packet.as_ptr() as u64, packet.len());
        context[..8].copy_from_slice(&start.to_le_bytes());
        context[8..16].copy_from_slice(&(start + len as u64).to_le_bytes());
        context[16..20].copy_from_slice(&(len as u32).to_le_bytes());
        context[20..].copy_from_slice(&MARK.to_le_bytes());
        Self { vm, packet, context }
    }

    /// Puts the packet's headers back and runs.
    ///
    /// # Panics
    /// On an error.
    pub fn run(&mut self, headers: &[u8]) -> u64 {
        self.packet[..headers.len()].copy_from_slice(headers);
        self.vm.execute_program(&self.packet, &self.context).expect("no error")
    }
}
