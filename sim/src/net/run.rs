//! One running program: what the engine asks of the kernel around it.

use crate::bpf::{Access, Addr, FaultKind, Host, Machine};
use crate::net::env::Env;
use crate::net::flow::Flow;
use crate::net::helper;
use crate::net::linear::Linear;
use crate::net::sk_lookup::SkLookup;
use crate::net::skb::SkBuff;
use crate::net::xdp::XdpBuff;
use crate::net::{ctx, helper::Call};
use crate::uapi::helper::id as uapi_id;
use crate::uapi::{AttachType, ProgType};

/// What a program's context stands for.
pub enum Packet {
    /// tc, cgroup_skb, socket filter, lwt.
    Skb(Box<SkBuff>),
    /// XDP.
    Xdp(Box<XdpBuff>),
    /// Flow dissectors.
    Flow(Box<Flow>),
    /// sk_lookup.
    SkLookup(Box<SkLookup>),
}

impl Packet {
    /// The bytes direct access reaches.
    fn linear(&mut self) -> Option<&mut Linear> {
        match self {
            Self::Skb(skb) => Some(&mut skb.linear),
            Self::Xdp(xdp) => Some(&mut xdp.linear),
            Self::Flow(flow) => Some(&mut flow.linear),
            Self::SkLookup(_) => None,
        }
    }
}

/// What a program of this type may do with packet bytes: `kernel/bpf/verifier.c: may_access_direct_pkt_data`, v6.12.
fn packet_access(prog_type: ProgType) -> Access {
    match prog_type {
        ProgType::LwtIn | ProgType::LwtOut | ProgType::CgroupSkb | ProgType::FlowDissector => Access::Read,
        _ => Access::ReadWrite,
    }
}

/// One running program.
pub struct Run<'k> {
    /// What is neither packet nor map.
    pub env: &'k mut Env,
    /// What the context stands for.
    pub packet: Packet,
    /// The program's type.
    pub prog_type: ProgType,
    /// Its expected attach type.
    pub attach_type: Option<AttachType>,
    /// The `bpf_spin_lock` it holds.
    pub lock: Option<Addr>,
}

impl Run<'_> {
    /// Shows the packet to the program, at an address it has not seen.
    pub fn expose(&mut self, machine: &mut Machine) {
        let access = packet_access(self.prog_type);
        if let Some(linear) = self.packet.linear() {
            linear.expose(&mut machine.mem, access);
        }
    }

    /// Takes the packet away from the program.
    pub fn hide(&mut self, machine: &mut Machine) {
        if let Some(linear) = self.packet.linear() {
            linear.hide(&mut machine.mem);
        }
    }
}

impl Host for Run<'_> {
    fn helper(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        let row = helper::find(self.prog_type, id)
            .ok_or_else(|| FaultKind::Instruction(format!("{} has no helper {id}", self.prog_type)))?;
        if self.lock.is_some() && id != uapi_id::spin_unlock {
            return Err(FaultKind::Instruction(format!("bpf_{} while holding a lock", row.name())));
        }
        let mut call = Call { run: self, machine, row, args };
        call.check_args()?;
        let result = match (row.call)(&mut call) {
            Ok(r0) => r0,
            Err(helper::Failure::Errno(errno)) => errno.as_r0(),
            Err(helper::Failure::Fault(fault)) => return Err(fault),
        };
        if row.moves_packet {
            self.expose(machine);
        }
        Ok(result)
    }

    fn exit(&mut self, machine: &mut Machine) -> Result<(), FaultKind> {
        if let Some(lock) = self.lock {
            return Err(FaultKind::Unreleased(format!("the lock at {lock:#x} is still held")));
        }
        match machine.maps.ringbuf_open().as_slice() {
            [] => Ok(()),
            [record, ..] => {
                let what =
                    format!("the ring buffer record at {record:#x} is neither submitted nor discarded");
                Err(FaultKind::Unreleased(what))
            }
        }
    }

    fn ctx_load(&mut self, _machine: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind> {
        let loaded = match &self.packet {
            Packet::Skb(skb) => ctx::skb::load(skb, self.prog_type, offset, size),
            Packet::Xdp(xdp) => ctx::xdp::load(xdp, self.attach_type, offset, size),
            Packet::Flow(flow) => ctx::flow::load(flow, offset, size),
            Packet::SkLookup(lookup) => ctx::sk_lookup::load(lookup, offset, size),
        };
        loaded.map_err(|why| FaultKind::Context { offset, size, write: false, why })
    }

    fn ctx_store_imm(
        &mut self,
        machine: &mut Machine,
        offset: u32,
        size: u32,
        imm: i32,
    ) -> Result<(), FaultKind> {
        match &mut self.packet {
            Packet::Skb(skb) => ctx::skb::store_imm(skb, self.prog_type, offset, size, imm)
                .map_err(|why| FaultKind::Context { offset, size, write: true, why }),
            _ => self.ctx_store(machine, offset, size, i64::from(imm) as u64),
        }
    }

    fn packet_load(
        &mut self,
        machine: &mut Machine,
        offset: i32,
        size: u32,
    ) -> Result<Option<u64>, FaultKind> {
        match &self.packet {
            Packet::Skb(skb) => Ok(skb.load_absolute(&machine.mem, offset, size)),
            _ => Err(FaultKind::Instruction("LD_ABS and LD_IND need an skb".to_owned())),
        }
    }

    fn ctx_store(
        &mut self,
        _machine: &mut Machine,
        offset: u32,
        size: u32,
        value: u64,
    ) -> Result<(), FaultKind> {
        let stored = match &mut self.packet {
            Packet::Skb(skb) => ctx::skb::store(skb, self.prog_type, offset, size, value),
            Packet::Xdp(_) => ctx::xdp::store(offset, size),
            Packet::Flow(_) => ctx::flow::store(offset, size),
            Packet::SkLookup(_) => ctx::sk_lookup::store(offset, size),
        };
        stored.map_err(|why| FaultKind::Context { offset, size, write: true, why })
    }
}
