//! What a running program has to give back: references, iterators, sections.
//!
//! `kernel/bpf/verifier.c` (v6.12) keeps the same list per state: `acquire_reference_state`, `release_reference`,
//! `check_reference_leak`, `process_iter_arg`, `active_rcu_lock`, `active_preempt_lock`.

use std::fmt;

use crate::bpf::Addr;

/// Kinds of what is held.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// A socket that a lookup found.
    Sock,
    /// A ring buffer record behind a dynptr.
    RecordDynptr,
    /// An object of the program's own: `bpf_obj_new` and the like.
    Object,
    /// The same, one per CPU.
    PercpuObject,
    /// `struct nf_conn`.
    Conntrack,
    /// `struct nf_conn___init`: not in the table yet.
    NewConntrack,
    /// `struct xfrm_state`.
    XfrmState,
    /// `struct bpf_iter_num`.
    IterNum,
    /// `struct bpf_iter_bits`.
    IterBits,
    /// `bpf_rcu_read_lock`.
    Rcu,
    /// `bpf_preempt_disable`.
    Preempt,
    /// `bpf_local_irq_save`.
    Irq,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sock => "socket",
            Self::RecordDynptr => "ring buffer record behind the dynptr",
            Self::Object => "object",
            Self::PercpuObject => "per-CPU object",
            Self::Conntrack => "conntrack entry",
            Self::NewConntrack => "conntrack entry not yet inserted",
            Self::XfrmState => "xfrm state",
            Self::IterNum | Self::IterBits => "iterator",
            Self::Rcu => "RCU read lock",
            Self::Preempt => "preemption lock",
            Self::Irq => "saved interrupt state",
        })
    }
}

/// One thing held: what, and the address that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// What it is.
    pub kind: Kind,
    /// Its guest address; 0 for sections.
    pub addr: Addr,
}

/// Everything held, in the order it was acquired.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Held(Vec<Reference>);

impl Held {
    /// Adds a reference. The same address may be held several times.
    pub fn acquire(&mut self, kind: Kind, addr: Addr) {
        self.0.push(Reference { kind, addr });
    }

    /// Gives back the newest reference of this kind at `addr`: false if there is none.
    pub fn release(&mut self, kind: Kind, addr: Addr) -> bool {
        let found = self.0.iter().rposition(|held| *held == Reference { kind, addr });
        found.map(|index| self.0.remove(index)).is_some()
    }

    /// Whether a reference of this kind at `addr` is held.
    pub fn has(&self, kind: Kind, addr: Addr) -> bool {
        self.0.contains(&Reference { kind, addr })
    }

    /// How many references are held: what [`leaked_since`](Self::leaked_since) compares with.
    pub fn mark(&self) -> usize {
        self.0.len()
    }

    /// The first reference acquired since `mark`: what a callback may not leave to its caller.
    pub fn leaked_since(&self, mark: usize) -> Option<Reference> {
        self.0.get(mark).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_is_released_once() {
        let mut held = Held::default();
        held.acquire(Kind::Sock, 8);
        held.acquire(Kind::Sock, 8);
        let mark = held.mark();
        held.acquire(Kind::Rcu, 0);
        assert_eq!(held.leaked_since(mark), Some(Reference { kind: Kind::Rcu, addr: 0 }));
        assert!(held.release(Kind::Rcu, 0) && !held.release(Kind::Rcu, 0));
        assert!(!held.release(Kind::Object, 8), "another kind");
        assert!(held.release(Kind::Sock, 8) && held.has(Kind::Sock, 8) && held.release(Kind::Sock, 8));
        assert_eq!(held, Held::default());
    }
}
