//! A deterministic simulation of the parts of Linux that run a BPF datapath.
//!
//! Five floors, each using only those below it:
//!
//! | floor | module | what it is |
//! |---|---|---|
//! | 0 | [`uapi`] | the kernel ABI as data: numbers, names, layouts |
//! | 1 | [`wire`] | bytes and their meaning: captures, packet expressions, checksums, parsers |
//! | 2 | [`bpf`] | the machine: objects, instructions, memory, maps |
//! | 3 | [`net`] | one kernel: packets, contexts, helpers, BPF_PROG_TEST_RUN |
//! | 4 | [`world`] | many kernels and the wires between them |
//!
//! The crate does no I/O, reads no clock, starts no thread and iterates no randomly ordered container: the same input
//! and the same seed give the same bytes, on every run and every machine.

pub mod bpf;
pub mod net;
pub mod uapi;
pub mod wire;
pub mod world;
