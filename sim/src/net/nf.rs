//! `struct bpf_nf_ctx`: a packet at a netfilter hook.

use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Memory};
use crate::net::skb::SkBuff;
use crate::uapi::ctx::nf::{HOOK, OUT, PF, STATE_SIZE};

/// `include/linux/netfilter.h: struct nf_hook_state`, as far as a test run sets it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Hook {
    /// `hook`.
    pub hook: u8,
    /// `pf`.
    pub pf: u8,
    /// Whether `out` is the loopback device; NULL otherwise. `in` always is NULL.
    pub has_out: bool,
}

/// What a netfilter program is run over.
#[derive(Debug)]
pub struct Nf {
    /// The guest's `const struct nf_hook_state *`: memory to read.
    pub state: Addr,
    /// The guest's `struct sk_buff *`. Not a byte of it can be read: its layout differs from one kernel to the next.
    pub skb_addr: Addr,
    /// The guest's `struct net_device *` of the loopback, whose layout differs likewise.
    dev_addr: Addr,
    /// The packet.
    pub skb: SkBuff,
}

impl Nf {
    /// Lays out the state. `None`: no guest memory is left.
    pub fn new(mem: &mut Memory, hook: Hook, skb: SkBuff) -> Option<Self> {
        let state = mem.alloc(ObjectKind::Helper("struct nf_hook_state"), Access::Read, STATE_SIZE)?;
        let skb_addr =
            mem.alloc(ObjectKind::Helper("struct sk_buff, whose members are not modelled"), Access::Read, 0)?;
        let dev_addr = mem.alloc(
            ObjectKind::Helper("struct net_device, whose members are not modelled"),
            Access::Read,
            0,
        )?;
        let bytes = mem.raw_mut(state, STATE_SIZE as usize);
        (bytes[HOOK], bytes[PF]) = (hook.hook, hook.pf);
        if hook.has_out {
            bytes[OUT..OUT + 8].copy_from_slice(&dev_addr.to_le_bytes());
        }
        Some(Self { state, skb_addr, dev_addr, skb })
    }

    /// The guest's memory, to be freed after the run.
    pub fn addrs(&self) -> [Addr; 3] {
        [self.state, self.skb_addr, self.dev_addr]
    }
}
