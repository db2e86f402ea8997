//! Floor 3: one kernel. Packets, the contexts programs see of them, helpers, and BPF_PROG_TEST_RUN.
//!
//! | module | what it is |
//! |---|---|
//! | `kernel` | [`Kernel`]: a machine and everything around it; loads objects, runs programs |
//! | `env` | what is neither packet nor map: devices, routes, clock, random numbers, the redirect a helper asked for |
//! | `skb`, `xdp`, `linear` | packets: their bytes in guest memory and what the kernel knows of them |
//! | `sock`, `sockets` | the socket of a packet, and those that maps are filled with |
//! | `ctx` | reads and writes of context fields |
//! | `run` | one running program: the [`Host`](crate::bpf::Host) the engine asks |
//! | [`helper`] | the table of helpers, one file per family |
//! | [`kfunc`] | the table of kernel functions, one file per family |
//! | [`seg6`] | segment routing headers |
//! | [`sockopt`], [`sysctl`] | what given contexts tell of: a socket's options, a file below `/proc/sys` |
//! | [`conntrack`] | the connections that programs make and find |
//! | [`held`], [`dynptr`] | what a running program has to give back, and its dynptrs |
//! | `timer` | timers inside map values, and moving the clock |
//! | [`redirect`] | what the redirect family of helpers leaves for whoever moves frames |
//! | `test_run` | BPF_PROG_TEST_RUN, one file per kind of program |

pub mod conntrack;
pub mod csum;
pub mod ctx;
mod ctx_reach;
pub mod dynptr;
mod env;
pub mod fib;
pub mod flow;
pub mod given;
pub mod held;
pub mod helper;
mod kernel;
pub mod kfunc;
pub mod linear;
pub mod network;
pub mod nf;
pub mod redirect;
mod run;
mod saddr;
pub mod seg6;
mod siphash;
pub mod sk_lookup;
pub mod sk_msg;
pub mod skb;
pub mod sock;
mod sockets;
pub mod sockopt;
mod syscall;
pub mod sysctl;
mod test_run;
mod timer;
pub mod tunnel;
pub mod xdp;

pub use env::Env;
pub use kernel::{Config, Kernel};
pub use run::{Packet, Run};
pub use sockets::{Known, Socket};
pub use test_run::{Answer, GivenRun, Room, TestRun, TestRunOut, eth_type_trans, run_program, runs_given};
