//! The pieces random programs are made of.

use bpftwin_sim::net::helper::{Arg, Helper, rows};
use bpftwin_sim::uapi::ProgType;
use bpftwin_sim::uapi::helper::id;
use proptest::prelude::*;

use crate::store::SHAPES;

/// Steps in one program at most.
pub const MOST: usize = 10;
/// Bytes of memory each step has to itself.
pub const SCRATCH: usize = 64;

/// One step. Its result goes to its own 8 bytes, what memory it needs is its own [`SCRATCH`] bytes.
#[derive(Clone, Debug)]
pub enum Step {
    /// A helper; pointers are filled in.
    Call {
        /// `BPF_FUNC_*`.
        helper: u32,
        /// Its name.
        name: &'static str,
        /// What it takes.
        args: &'static [Arg],
        /// Numbers for those that are numbers.
        numbers: Vec<i64>,
        /// What its memory holds before.
        memory: Vec<u8>,
        /// The map, by its index in [`SHAPES`].
        map: Option<usize>,
    },
    /// Reads a context field.
    Load {
        /// Byte offset.
        offset: u32,
        /// Bytes: 1, 2, 4 or 8.
        size: u32,
    },
    /// Writes a context field of 4 bytes.
    Store {
        /// Byte offset.
        offset: u32,
        /// What to write.
        value: i32,
    },
    /// Reads a byte of the packet, after the check the verifier wants.
    Peek {
        /// From the packet's start.
        offset: u16,
    },
    /// Writes a byte of the packet, after the check the verifier wants.
    Poke {
        /// From the packet's start.
        offset: u16,
        /// What to write.
        value: u8,
    },
}

/// Helpers whose result nobody can foretell, or that do something to the world: time, random numbers, sockets' cookies,
/// a hash with a secret seed, who called and in which cgroup. And those that want more of a number than the table says, as
/// a timer in a map's value.
const LEFT_OUT: [u32; 28] = [
    id::get_hash_recalc,
    id::ktime_get_ns,
    id::ktime_get_boot_ns,
    id::ktime_get_coarse_ns,
    id::ktime_get_tai_ns,
    id::jiffies64,
    id::get_prandom_u32,
    id::get_socket_cookie,
    id::skb_cgroup_id,
    id::skb_ancestor_cgroup_id,
    id::get_current_pid_tgid,
    id::get_current_comm,
    id::get_current_cgroup_id,
    id::get_current_ancestor_cgroup_id,
    id::get_numa_node_id,
    id::clone_redirect,
    id::trace_printk,
    id::sk_lookup_tcp,
    id::sk_lookup_udp,
    id::skc_lookup_tcp,
    id::sk_assign,
    id::spin_lock,
    id::spin_unlock,
    id::strncmp,
    id::ringbuf_reserve,
    id::timer_init,
    id::timer_start,
    id::timer_cancel,
];

/// The helpers these programs can call: those whose arguments are numbers, the context, memory and maps.
pub fn callable(prog_type: ProgType) -> impl Iterator<Item = &'static Helper> {
    let plain = |arg: &Arg| {
        matches!(
            arg,
            Arg::Any
                | Arg::Ctx
                | Arg::Mem
                | Arg::MemOrNull
                | Arg::MemOut
                | Arg::Size
                | Arg::SizeOrZero
                | Arg::Fixed(0..=64)
                | Arg::Map(_)
                | Arg::Key
                | Arg::Value
                | Arg::ValueOut
        )
    };
    rows().filter(move |row| {
        let known = row.args.iter().all(plain) && (maps_for(row.args).is_none_or(|maps| !maps.is_empty()));
        row.types.contains(prog_type) && !LEFT_OUT.contains(&row.id) && known
    })
}

/// The maps a helper takes, if it takes one.
fn maps_for(args: &[Arg]) -> Option<Vec<usize>> {
    let types = args.iter().find_map(|arg| if let Arg::Map(types) = arg { Some(types) } else { None })?;
    let fits = |index: &usize| types.is_empty() || types.contains(&SHAPES[*index].map_type);
    Some((0..SHAPES.len()).filter(fits).collect())
}

/// Numbers that mean something: offsets around headers, lengths around limits, single flags, protocols, and anything.
fn numbers() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..6i64,
        4 => 0..100i64,
        2 => prop::sample::select(vec![14i64, 20, 24, 34, 38, 40, 50, 54, 60, 74, 128, 1500, 3520, 3712, 65535]),
        2 => (0..16u32).prop_map(|bit| 1i64 << bit),
        2 => (0..8u32, 0..8u32).prop_map(|(a, b)| 1i64 << a | 1 << b),
        1 => prop::sample::select(vec![0x0008i64, 0xdd86, 0x0800, 0x86dd, 0x0081, 0xa888, 0x8100, 0x88a8]),
        2 => -40..0i64,
        1 => any::<i32>().prop_map(i64::from),
    ]
}

fn memory() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(prop_oneof![2 => Just(0u8), 1 => 0..5u8, 1 => any::<u8>()], SCRATCH)
}

fn calls(prog_type: ProgType) -> impl Strategy<Value = Step> {
    let rows: Vec<_> = callable(prog_type).map(|row| (row.id, row.name(), row.args)).collect();
    let sizes =
        prop_oneof![2 => 1..=SCRATCH as i64, 1 => prop::sample::select(vec![4i64, 8, 20, 24, 28, 44, 64])];
    let all_numbers = proptest::collection::vec((numbers(), sizes, prop::bool::weighted(0.2)), 5);
    let questions = (prop::sample::select(rows), all_numbers, memory(), any::<prop::sample::Index>());
    questions.prop_map(|((helper, name, args), numbers, mut memory, choice)| {
        if args.contains(&Arg::Key) {
            // Few keys, so that programs meet an element twice; of a trie, few prefix lengths.
            memory[0] &= 3;
            memory[1..4].fill(0);
        }
        let map = maps_for(args).map(|maps| maps[choice.index(maps.len())]);
        let numbers = args
            .iter()
            .zip(numbers)
            .map(|(arg, (any, size, zero))| match arg {
                Arg::Size => size,
                Arg::SizeOrZero => {
                    if zero {
                        0
                    } else {
                        size
                    }
                }
                _ => any,
            })
            .collect();
        Step::Call { helper, name, args, numbers, memory, map }
    })
}

/// `tstamp` of `struct __sk_buff`.
const TSTAMP: u32 = 152;

/// `offset`s of `struct __sk_buff` or `struct xdp_md` every program of the type may read, 4 bytes each, whose value does
/// not depend on the machine.
fn readable(prog_type: ProgType) -> Vec<u32> {
    match prog_type {
        ProgType::Xdp => vec![12, 16],
        // len, pkt_type, mark, queue_mapping, protocol, vlan_*, priority, ingress_ifindex, ifindex, cb[], hash.
        ProgType::SocketFilter => vec![0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 64, 68],
        ProgType::SchedCls | ProgType::SchedAct => {
            vec![0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 64, 68, 72, TSTAMP, 160, 164, 176]
        }
        _ => vec![0, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48, 52, 64, 68, 164, 176],
    }
}

fn writable(prog_type: ProgType) -> Vec<u32> {
    match prog_type {
        ProgType::SchedCls | ProgType::SchedAct => vec![8, 12, 32, 44, 48, 52, 64, 72],
        ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::CgroupSkb => vec![8, 32, 48, 64],
        ProgType::SocketFilter => vec![48, 56, 64],
        _ => Vec::new(),
    }
}

/// Whether programs of this type may look at packet bytes, and write them.
fn direct(prog_type: ProgType) -> (bool, bool) {
    match prog_type {
        ProgType::SocketFilter => (false, false),
        ProgType::CgroupSkb | ProgType::LwtIn | ProgType::LwtOut => (true, false),
        _ => (true, true),
    }
}

fn step(prog_type: ProgType) -> BoxedStrategy<Step> {
    let narrow = prop::sample::select(vec![4u32, 4, 2, 1]);
    let loads = (prop::sample::select(readable(prog_type)), narrow).prop_map(move |(offset, narrow)| {
        let size = match (prog_type, offset) {
            (_, TSTAMP) => 8,
            (ProgType::Xdp, _) => 4,
            _ => narrow,
        };
        Step::Load { offset, size }
    });
    let mut choices = vec![(8, calls(prog_type).boxed()), (2, loads.boxed())];
    let stores = writable(prog_type);
    if !stores.is_empty() {
        let stores = (prop::sample::select(stores), numbers());
        choices.push((
            2,
            stores.prop_map(|(offset, value)| Step::Store { offset, value: value as i32 }).boxed(),
        ));
    }
    let (peek, poke) = direct(prog_type);
    let offset = prop_oneof![Just(0u16), 0..80u16, 0..300u16];
    if peek {
        choices.push((1, offset.clone().prop_map(|offset| Step::Peek { offset }).boxed()));
    }
    if poke {
        choices.push((
            1,
            (offset, any::<u8>()).prop_map(|(offset, value)| Step::Poke { offset, value }).boxed(),
        ));
    }
    prop::strategy::Union::new_weighted(choices).boxed()
}

/// Whole programs.
pub fn steps(prog_type: ProgType) -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(prog_type), 1..=MOST)
}

impl Step {
    /// Its instructions: the context is in r6, the results in r7. `first` and `second` are the offsets of the packet's
    /// start and end in the context.
    fn assemble(&self, index: usize, (first, second): (u32, u32)) -> String {
        let scratch = MOST * 8 + index * SCRATCH;
        let packet = |offset: u16, access: &str| {
            format!(
                "r0 = -1; r2 = *(u32 *)(r6 + {first}); r3 = *(u32 *)(r6 + {second}); r4 = r2; r4 += {}; \
                 if r4 > r3 goto past{index}; {access}\npast{index}:",
                u32::from(offset) + 1
            )
        };
        let body = match self {
            Self::Call { helper, args, numbers, map, .. } => {
                // Two pieces of memory must not be one.
                let pieces = args.iter().filter(|arg| is_memory(arg)).count().max(1);
                let mut places = (scratch..).step_by(SCRATCH / pieces);
                let mut load = |arg: &Arg, number: i64| match arg {
                    Arg::Ctx => "r6".to_owned(),
                    arg if is_memory(arg) => format!("r7; r{{}} += {}", places.next().expect("endless")),
                    _ => (number as i32).to_string(),
                };
                let loads = (1..).zip(args.iter().zip(numbers)).map(|(register, (arg, &number))| {
                    if let (Arg::Map(_), Some(map)) = (arg, map) {
                        return map_slots(register, *map);
                    }
                    format!("r{register} = {}\n", load(arg, number).replace("{}", &register.to_string()))
                });
                let loads = loads.collect::<Vec<_>>().concat();
                // A pointer differs; what it points to counts, and is counted up.
                let look = if matches!(*helper, id::map_lookup_elem | id::map_lookup_percpu_elem) {
                    format!(
                        "; if r0 == 0 goto none{index}; r1 = r0; r0 = *(u64 *)(r1 + 0); r0 += 1; \
                         *(u64 *)(r1 + 0) = r0\nnone{index}:"
                    )
                } else {
                    String::new()
                };
                format!("{loads}call {helper}{look}")
            }
            Self::Load { offset, size } => format!("r0 = *(u{} *)(r6 + {offset})", size * 8),
            Self::Store { offset, value } => format!("r0 = {value}; *(u32 *)(r6 + {offset}) = r0"),
            Self::Peek { offset } => packet(*offset, &format!("r0 = *(u8 *)(r2 + {offset})")),
            Self::Poke { offset, value } => {
                packet(*offset, &format!("r0 = {value}; *(u8 *)(r2 + {offset}) = r0"))
            }
        };
        format!("{body}\n*(u64 *)(r7 + {}) = r0\n", index * 8)
    }

    /// The map it uses, by its index in [`SHAPES`].
    pub fn map(&self) -> Option<usize> {
        if let Self::Call { map, .. } = self { *map } else { None }
    }

    /// What its memory holds before the program runs.
    fn memory(&self) -> &[u8] {
        if let Self::Call { memory, .. } = self { memory } else { &[] }
    }
}

fn is_memory(arg: &Arg) -> bool {
    use Arg::{Fixed, Key, Mem, MemOrNull, MemOut, Value, ValueOut};
    matches!(arg, Mem | MemOrNull | MemOut | Fixed(_) | Key | Value | ValueOut)
}

/// `BPF_LD | BPF_IMM | BPF_DW`.
pub const LD_IMM64: u8 = 0x18;

/// A `ld_imm64` that stands for a map, to be filled in by each side.
fn map_slots(register: u32, index: usize) -> String {
    format!(".slot {:#x}; .slot 0\n", u64::from(LD_IMM64) | u64::from(register) << 8 | (index as u64) << 32)
}

/// Bytes of the one map value a program writes its results to.
pub const RESULTS: usize = MOST * (8 + SCRATCH);

/// The value before the program runs.
pub fn initial(steps: &[Step]) -> Vec<u8> {
    let mut value = vec![0; RESULTS];
    for (index, step) in steps.iter().enumerate() {
        let at = MOST * 8 + index * SCRATCH;
        value[at..at + step.memory().len()].copy_from_slice(step.memory());
    }
    value
}

/// The program, after r7 has been set to the map value.
pub fn assembly(prog_type: ProgType, steps: &[Step]) -> String {
    let window = if prog_type == ProgType::Xdp { (0, 4) } else { (76, 80) };
    let body: String = steps.iter().enumerate().map(|(index, step)| step.assemble(index, window)).collect();
    format!("{body}r0 = {}; exit", if prog_type == ProgType::CgroupSkb { 1 } else { 7 })
}

/// The program in words.
pub fn listing(steps: &[Step]) -> String {
    let line = |step: &Step| match step {
        Step::Call { name, args, numbers, map, .. } => {
            let args: Vec<_> = args
                .iter()
                .zip(numbers)
                .map(|(arg, number)| match arg {
                    Arg::Any | Arg::Size | Arg::SizeOrZero => format!("{number:#x}"),
                    Arg::Ctx => "ctx".into(),
                    Arg::Map(_) => format!("{:?}", map.map(|index| SHAPES[index].map_type)),
                    _ => "memory".into(),
                })
                .collect();
            format!("bpf_{name}({})", args.join(", "))
        }
        other => format!("{other:?}"),
    };
    steps.iter().map(line).collect::<Vec<_>>().join("\n")
}
