//! The real kernel as a plane.
//!
//! The only crate that needs privilege and a C library. The binary `bpftwin-kernel` answers cases of
//! `bpftwin_conformance::case` with observations made by BPF_PROG_TEST_RUN, or at devices of network namespaces
//! ([`plane`]); [`sys`] is a small safe layer over bpf(2) on which the tests put single questions to the kernel.

pub mod elements;
pub mod external;
pub mod failure;
pub mod guest;
mod log;
mod netns;
pub mod network;
pub mod object;
mod observable;
pub mod plane;
pub mod privilege;
pub mod probe;
mod records;
pub mod sys;
pub mod verify;
pub mod view;
