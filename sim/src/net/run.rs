//! One running program: what the engine asks of the kernel around it.

use std::collections::BTreeMap;

use crate::bpf::map::MapId;
use crate::bpf::mem::CTX_BASE;
use crate::bpf::{Access, Addr, FaultKind, Host, Machine, Memory};
use crate::net::dynptr::Dynptrs;
use crate::net::env::Env;
use crate::net::flow::Flow;
use crate::net::given::Given;
use crate::net::held::Held;
use crate::net::kfunc::{self, Kfunc};
use crate::net::linear::Linear;
use crate::net::nf::Nf;
use crate::net::sk_lookup::SkLookup;
use crate::net::sk_msg::Redirect;
use crate::net::skb::SkBuff;
use crate::net::sockets::Known;
use crate::net::xdp::XdpBuff;
use crate::net::{ctx, helper::Call};
use crate::net::{held, helper};
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
    /// netfilter.
    Nf(Box<Nf>),
    /// syscall: the context is guest memory.
    Syscall,
    /// Everything whose context the caller gives.
    Given(Box<Given>),
}

impl Packet {
    /// The bytes direct access reaches.
    fn linear(&mut self) -> Option<&mut Linear> {
        match self {
            Self::Skb(skb) => Some(&mut skb.linear),
            Self::Xdp(xdp) => Some(&mut xdp.linear),
            Self::Flow(flow) => Some(&mut flow.linear),
            Self::Given(given) => given.linear.as_mut(),
            Self::Nf(nf) => Some(&mut nf.skb.linear),
            Self::SkLookup(_) | Self::Syscall => None,
        }
    }

    /// The skb, as the context or behind it.
    pub fn skb(&self) -> Option<&SkBuff> {
        match self {
            Self::Skb(skb) => Some(skb),
            Self::Nf(nf) => Some(&nf.skb),
            _ => None,
        }
    }
}

/// What a program of this type may do with packet bytes: `kernel/bpf/verifier.c: may_access_direct_pkt_data`, v6.12.
pub fn packet_access(prog_type: ProgType) -> Access {
    match prog_type {
        ProgType::SchedCls
        | ProgType::SchedAct
        | ProgType::Xdp
        | ProgType::LwtXmit
        | ProgType::SkSkb
        | ProgType::SkMsg
        | ProgType::CgroupSockopt => Access::ReadWrite,
        _ => Access::Read,
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
    /// What it may call.
    helpers: helper::Rows,
    /// Its expected attach type.
    pub attach_type: Option<AttachType>,
    /// The `bpf_spin_lock` it holds.
    pub lock: Option<Addr>,
    /// What it has to give back.
    pub held: Held,
    /// Its dynptrs.
    pub dynptrs: Dynptrs,
    /// Its values of cgroup storage, by map: new ones for every run.
    pub storage: BTreeMap<MapId, Addr>,
    /// `_sk_redir` of an skb: where an sk_skb program sends it.
    pub redirect: Option<Redirect>,
    /// The user ring buffers it is draining.
    pub draining: Vec<MapId>,
    /// What helpers handed out of sockets besides their `struct bpf_sock`, by cookie and structure.
    pub views: BTreeMap<(u64, &'static str), (Addr, Known)>,
    /// The words that its `bpf_iter_bits` go through, by the iterator's address.
    pub bits: BTreeMap<Addr, Vec<u8>>,
}

impl<'k> Run<'k> {
    /// A run about to begin, which holds nothing.
    pub fn new(
        env: &'k mut Env,
        packet: Packet,
        prog_type: ProgType,
        attach_type: Option<AttachType>,
    ) -> Self {
        Self {
            env,
            packet,
            prog_type,
            helpers: helper::rows_for(prog_type),
            attach_type,
            lock: None,
            held: Held::default(),
            dynptrs: Dynptrs::default(),
            storage: BTreeMap::new(),
            redirect: None,
            draining: Vec::new(),
            views: BTreeMap::new(),
            bits: BTreeMap::new(),
        }
    }

    /// Does `call`, of a helper or a kernel function; gives `r0`.
    fn perform(
        call: &mut Call<'_, '_>,
        function: fn(&mut Call<'_, '_>) -> helper::Ret,
        moves_packet: bool,
    ) -> Result<u64, FaultKind> {
        call.check_args()?;
        if let Packet::Xdp(xdp) = &mut call.run.packet {
            xdp.store_windows(&call.machine.mem);
        }
        let result = match function(call) {
            Ok(r0) => r0,
            Err(helper::Failure::Errno(errno)) => errno.as_r0(),
            Err(helper::Failure::Fault(fault)) => return Err(fault),
        };
        if moves_packet {
            call.run.expose(call.machine);
        }
        if let Packet::Xdp(xdp) = &mut call.run.packet {
            xdp.load_windows(&mut call.machine.mem);
        }
        Ok(result)
    }

    /// What a kernel function gives back, before it runs.
    fn give_back(&mut self, row: &Kfunc, addr: Addr) -> Result<(), FaultKind> {
        match row.releases {
            Some(kind) if !self.held.release(kind, addr) => {
                let why = format!("not a {kind} that is held");
                Err(FaultKind::Argument { helper: row.short_name(), number: 1, why })
            }
            _ => Ok(()),
        }
    }

    /// Shows the packet to the program, at an address it has not seen.
    pub fn expose(&mut self, machine: &mut Machine) {
        machine.remembered.let_store(match self.packet {
            Packet::Skb(_) => ctx::skb::own_words(self.prog_type),
            _ => 0,
        });
        let access = packet_access(self.prog_type);
        if let Some(linear) = self.packet.linear() {
            linear.expose(&mut machine.mem, access);
        }
        if let Packet::Xdp(xdp) = &mut self.packet {
            xdp.close_windows(&mut machine.mem);
        }
    }

    /// Takes over what the program has stored to its context, to be done before anything looks at that.
    #[inline]
    pub fn take_stored(&mut self, machine: &mut Machine) {
        if machine.remembered.has_stored()
            && let Packet::Skb(skb) = &mut self.packet
        {
            for (offset, value) in machine.remembered.take_stored() {
                ctx::skb::store(skb, self.prog_type, offset, 4, value.into())
                    .expect("the program may write its own words");
            }
        }
    }

    /// What a program that ends has kept, `open` being a record of a ring buffer.
    #[cold]
    fn unreleased(&self, open: Option<Addr>) -> FaultKind {
        FaultKind::Unreleased(match (self.lock, self.held.leaked_since(0), open) {
            (Some(lock), ..) => format!("the lock at {lock:#x} is still held"),
            (_, Some(held::Reference { kind, addr }), _) => {
                format!("the {kind} at {addr:#x} is not given back")
            }
            (.., Some(record)) => {
                format!("the ring buffer record at {record:#x} is neither submitted nor discarded")
            }
            _ => unreachable!("it is asked when there is something"),
        })
    }

    /// Frees what was made for this run alone.
    pub fn give_memory_back(&mut self, mem: &mut Memory) {
        let views = std::mem::take(&mut self.views).into_values().map(|(addr, _)| addr);
        for addr in std::mem::take(&mut self.storage).into_values().chain(views) {
            mem.free(addr);
        }
    }

    /// Takes the packet away from the program.
    pub fn hide(&mut self, machine: &mut Machine) {
        self.take_stored(machine);
        machine.remembered.let_store(0);
        if let Some(linear) = self.packet.linear() {
            linear.hide(&mut machine.mem);
        }
        if let Packet::Xdp(xdp) = &mut self.packet {
            xdp.store_windows(&machine.mem);
            xdp.close_windows(&mut machine.mem);
        }
    }
}

/// Whether this helper looks at no field of any context that programs write, and none reads otherwise after it: some of
/// those that programs call most.
const fn leaves_context(helper: u32) -> bool {
    matches!(
        helper,
        uapi_id::map_lookup_elem
            | uapi_id::map_update_elem
            | uapi_id::map_delete_elem
            | uapi_id::ktime_get_ns
            | uapi_id::ktime_get_boot_ns
            | uapi_id::ktime_get_coarse_ns
            | uapi_id::get_smp_processor_id
            | uapi_id::get_prandom_u32
            | uapi_id::csum_diff
            | uapi_id::skb_load_bytes
            | uapi_id::spin_lock
            | uapi_id::spin_unlock
            | uapi_id::ringbuf_output
            | uapi_id::ringbuf_reserve
            | uapi_id::ringbuf_submit
            | uapi_id::ringbuf_discard
            | uapi_id::perf_event_output
            | uapi_id::redirect
            | uapi_id::redirect_peer
            | uapi_id::redirect_neigh
    )
}

impl Host for Run<'_> {
    fn helper(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        let row = self.helpers.get(id as usize).copied().flatten();
        let row =
            row.ok_or_else(|| FaultKind::Instruction(format!("{} has no helper {id}", self.prog_type)))?;
        if self.lock.is_some() && id != uapi_id::spin_unlock {
            return Err(FaultKind::Instruction(format!("bpf_{} while holding a lock", row.name())));
        }
        let leaves_context = leaves_context(id);
        if !leaves_context {
            self.take_stored(machine);
        }
        let mut call = Call { run: self, machine, name: row.name(), params: row.args, args };
        let result = Self::perform(&mut call, row.call, row.moves_packet);
        if !leaves_context {
            machine.remembered.forget();
        }
        result
    }

    fn looks_up(&self) -> bool {
        self.lock.is_none()
    }

    fn remembers(&self) -> bool {
        matches!(self.packet, Packet::Skb(_) | Packet::Xdp(_))
    }

    fn kfunc(&mut self, machine: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        let row = kfunc::by_number(id)
            .ok_or_else(|| FaultKind::Instruction(format!("kernel function {id} does not exist")))?;
        if self.lock.is_some() && !row.name.starts_with("bpf_iter_num_") {
            return Err(FaultKind::Instruction(format!("{} while holding a lock", row.name)));
        }
        self.take_stored(machine);
        self.give_back(row, args[0])?;
        let mut call = Call { run: self, machine, name: row.short_name(), params: row.args, args };
        let result = Self::perform(&mut call, row.call, false);
        machine.remembered.forget();
        let result = result?;
        if let Some(kind) = row.acquires
            && result != 0
        {
            self.held.acquire(kind, result);
        }
        Ok(result)
    }

    fn exit(&mut self, machine: &mut Machine) -> Result<(), FaultKind> {
        let open = machine.maps.ringbuf_open();
        if self.lock.is_none() && self.held.leaked_since(0).is_none() && open.is_none() {
            return Ok(());
        }
        Err(self.unreleased(open))
    }

    fn ctx_load(&mut self, machine: &mut Machine, offset: u32, size: u32) -> Result<u64, FaultKind> {
        self.take_stored(machine);
        let loaded = match &self.packet {
            Packet::Skb(skb) => ctx::skb::load(skb, self.prog_type, offset, size),
            Packet::Xdp(xdp) => ctx::xdp::load(xdp, self.attach_type, offset, size),
            Packet::Flow(flow) => ctx::flow::load(flow, offset, size),
            Packet::SkLookup(lookup) => ctx::sk_lookup::load(lookup, offset, size),
            Packet::Nf(nf) => ctx::nf::load(nf, offset, size),
            Packet::Given(given) => ctx::given::load(given, offset, size),
            Packet::Syscall => {
                return Ok(machine.mem.load(CTX_BASE + Addr::from(offset), size.into())?);
            }
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
        self.take_stored(machine);
        match &mut self.packet {
            Packet::Skb(skb) => {
                machine.remembered.forget_field(offset, size);
                ctx::skb::store_imm(skb, self.prog_type, offset, size, imm)
                    .map_err(|why| FaultKind::Context { offset, size, write: true, why })
            }
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
        machine: &mut Machine,
        offset: u32,
        size: u32,
        value: u64,
    ) -> Result<(), FaultKind> {
        self.take_stored(machine);
        let stored = match &mut self.packet {
            // A store changes its own field of an skb and no other.
            Packet::Skb(skb) => {
                machine.remembered.forget_field(offset, size);
                ctx::skb::store(skb, self.prog_type, offset, size, value)
            }
            Packet::Xdp(_) => ctx::xdp::store(offset, size),
            Packet::Flow(_) => ctx::flow::store(offset, size),
            Packet::SkLookup(_) => ctx::sk_lookup::store(offset, size),
            Packet::Nf(_) => ctx::nf::store(offset, size),
            Packet::Given(given) => ctx::given::store(given, offset, size, value),
            Packet::Syscall => {
                return Ok(machine.mem.store(CTX_BASE + Addr::from(offset), size.into(), value)?);
            }
        };
        stored.map_err(|why| FaultKind::Context { offset, size, write: true, why })
    }
}
