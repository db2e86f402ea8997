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

/// The opcode of a call.
const CALL: u8 = 0x85;

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

/// The bytes of the program `name` as rbpf takes them; `None`: it is none of ours.
pub fn bytes(name: &str) -> Option<Vec<u8>> {
    let number =
        |symbol: &str| programs::MAPS.iter().position(|map| map.0 == symbol).expect("one of the maps") as u64;
    let slots = programs::link(programs::WIDE_CONTEXT, number).remove(name)?;
    Some(slots.into_iter().flat_map(u64::to_le_bytes).collect())
}

/// The packet and the context that points to it.
struct Input {
    packet: Vec<u8>,
    context: [u8; CONTEXT_SIZE],
}

impl Input {
    fn new() -> Self {
        let packet = programs::packet();
        let mut context = [0; CONTEXT_SIZE];
        let (start, len) = (packet.as_ptr() as u64, packet.len());
        context[..8].copy_from_slice(&start.to_le_bytes());
        context[8..16].copy_from_slice(&(start + len as u64).to_le_bytes());
        context[16..20].copy_from_slice(&(len as u32).to_le_bytes());
        context[20..].copy_from_slice(&MARK.to_le_bytes());
        Self { packet, context }
    }
}

fn machine(program: &[u8]) -> EbpfVmMbuff<'_> {
    let mut vm = EbpfVmMbuff::new(Some(program)).expect("verifies");
    vm.register_helper(1, lookup).expect("registers");
    for map in maps() {
        vm.register_allowed_memory(map.values.clone());
    }
    vm
}

/// One program on rbpf's interpreter, ready to run again and again.
pub struct Runner<'a> {
    vm: EbpfVmMbuff<'a>,
    input: Input,
}

impl<'a> Runner<'a> {
    /// Prepares the program of these [`bytes`].
    ///
    /// # Panics
    /// If it does not load.
    pub fn new(program: &'a [u8]) -> Self {
        Self { vm: machine(program), input: Input::new() }
    }

    /// Runs it.
    ///
    /// # Panics
    /// On an error.
    pub fn run(&mut self) -> u32 {
        self.vm.execute_program(&self.input.packet, &self.input.context).expect("no error") as u32
    }
}

/// One program as the machine code of rbpf's JIT, which checks no bounds.
pub struct Compiled<'a> {
    vm: EbpfVmMbuff<'a>,
    input: Input,
}

impl<'a> Compiled<'a> {
    /// Compiles the program of these [`bytes`]; the error says why not.
    pub fn new(program: &'a [u8]) -> Result<Self, String> {
        if program.chunks_exact(8).any(|slot| slot[0] == CALL) {
            return Err(
                "rbpf 0.4.1 compiles calls that leave the stack unaligned, which a helper may crash on"
                    .to_owned(),
            );
        }
        let mut vm = machine(program);
        vm.jit_compile().map_err(|error| error.to_string())?;
        Ok(Self { vm, input: Input::new() })
    }

    /// Runs it.
    ///
    /// # Panics
    /// On an error.
    pub fn run(&mut self) -> u32 {
        let context = self.input.context.as_mut_ptr();
        // SAFETY: rbpf asks for a context that lives as long as the program, which it uses during this call only; the
        // context is `self`'s and nobody else has it meanwhile.
        let context = unsafe { std::slice::from_raw_parts_mut(context, CONTEXT_SIZE) };
        // SAFETY: the programs of this crate stay within the packet, the context, the stack and the values of maps,
        // as the kernel's verifier proves of the same source.
        let r0 = unsafe { self.vm.execute_program_jit(&mut self.input.packet, context) };
        r0.expect("no error") as u32
    }
}
