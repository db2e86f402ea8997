//! Frames that end where nobody wanted them, and the kernel's reason.
//!
//! A program at the tracepoint `kfree_skb` hands every drop to a perf buffer: the reason, and the device's namespace and
//! ifindex, found through the types the kernel describes itself with (`/sys/kernel/btf/vmlinux`). The tracepoint is the
//! whole machine's, so what happens in other namespaces is left out. A frame without a device is not told of, nor is one
//! that nobody takes but a tap.

use libbpf_rs::btf::types::{Composite, Enum, MemberAttr};
use libbpf_rs::btf::{Btf, BtfType};
use libbpf_sys as kernel;

use super::stream::{Stream, insn, word};
use crate::failure::Failure;
use crate::sys::{Link, Prog, ProgLoad};

/// A dropped frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drop {
    /// The inode number of its device's namespace.
    pub namespace: u32,
    /// The device.
    pub ifindex: u32,
    /// `enum skb_drop_reason` without its prefix.
    pub reason: String,
}

/// Looks on from when it is made.
pub struct Drops {
    stream: Stream,
    reasons: Vec<(u32, String)>,
    _link: Link,
}

/// Byte offsets of what the program reads.
struct Offsets {
    skb_dev: i32,
    dev_ifindex: i32,
    dev_net: i32,
    net_inum: i32,
}

impl Drops {
    /// `None` where the kernel does not describe its types, or has no such tracepoint.
    pub fn new() -> Result<Option<Self>, Failure> {
        let Ok(btf) = Btf::from_vmlinux() else { return Ok(None) };
        let Some((offsets, reasons)) = offsets(&btf).zip(reasons(&btf)) else { return Ok(None) };
        let stream = Stream::new()?;
        let prog = Prog::load(&ProgLoad {
            prog_type: kernel::BPF_PROG_TYPE_RAW_TRACEPOINT,
            insns: &program(&stream, &offsets),
            ..ProgLoad::default()
        })
        .map_err(|error| Failure::Harness(format!("the program that tells of drops: {error}")))?;
        let link = Link::raw_tracepoint(&prog, c"kfree_skb");
        Ok(link.ok().map(|link| Self { stream, reasons, _link: link }))
    }

    /// Takes every drop since the last time, of any namespace.
    pub fn drain(&mut self) -> Result<Vec<Drop>, Failure> {
        let records = self.stream.drain()?;
        let name = |reason: u32| {
            let known = self.reasons.iter().find(|(value, _)| *value == reason);
            known.map_or_else(|| reason.to_string(), |(_, name)| name.clone())
        };
        let drop = |record: &Vec<u8>| Drop {
            namespace: word(record, 2),
            ifindex: word(record, 3),
            reason: name(word(record, 4)),
        };
        Ok(records.iter().map(drop).collect())
    }
}

/// What `enum skb_drop_reason` calls its values.
fn reasons(btf: &Btf<'_>) -> Option<Vec<(u32, String)>> {
    let reasons: Enum<'_> = btf.type_by_name("skb_drop_reason")?;
    let named = reasons.iter().filter_map(|member| {
        let name = member.name?.to_str()?;
        Some((member.value as u32, name.strip_prefix("SKB_DROP_REASON_").unwrap_or(name).to_owned()))
    });
    Some(named.collect())
}

fn offsets(btf: &Btf<'_>) -> Option<Offsets> {
    let of = |name: &str, path: &[&str]| {
        let mut ty: BtfType<'_> = btf.type_by_name(name)?;
        let mut sum = 0;
        for member in path {
            let (offset, inner) = member_of(btf, ty, member)?;
            sum += offset;
            ty = inner;
        }
        i32::try_from(sum / 8).ok()
    };
    Some(Offsets {
        skb_dev: of("sk_buff", &["dev"])?,
        dev_ifindex: of("net_device", &["ifindex"])?,
        dev_net: of("net_device", &["nd_net", "net"])?,
        net_inum: of("net", &["ns", "inum"])?,
    })
}

/// Offset in bits and type of a member, which may be in structures and unions without a name.
fn member_of<'a>(btf: &'a Btf<'_>, ty: BtfType<'a>, name: &str) -> Option<(u32, BtfType<'a>)> {
    let composite = Composite::try_from(ty.skip_mods_and_typedefs()).ok()?;
    for member in composite.iter() {
        let MemberAttr::Normal { offset } = member.attr else { continue };
        let inner: BtfType<'_> = btf.type_by_id(member.ty)?;
        match member.name {
            Some(found) if found == name => return Some((offset, inner)),
            None => {
                if let Some((more, found)) = member_of(btf, inner, name) {
                    return Some((offset + more, found));
                }
            }
            Some(_) => {}
        }
    }
    None
}

/// Reports time, namespace, ifindex and reason of a drop: arguments of the tracepoint are `skb`, a place, and the reason
/// (`include/trace/events/skb.h`, v6.12).
fn program(stream: &Stream, offsets: &Offsets) -> Vec<u64> {
    const SIZE: i32 = 24;
    const POINTER: i16 = -32;
    let slot = |word: i32| (4 * word - SIZE) as i16;
    // r3 points to kernel memory, of which `size` bytes go to the stack.
    let read = |to: i16, size: i32| {
        [
            insn(0xbf, 1, 10, 0, 0),        // r1 = r10
            insn(0x07, 1, 0, 0, to.into()), // r1 += to
            insn(0xb7, 2, 0, 0, size),      // r2 = size
            insn(0x85, 0, 0, 0, kernel::BPF_FUNC_probe_read_kernel as i32),
        ]
    };
    let mut insns = vec![
        insn(0xbf, 6, 1, 0, 0),  // r6 = ctx
        insn(0x79, 3, 6, 0, 0),  // r3 = skb
        insn(0x79, 2, 6, 16, 0), // r2 = reason
        insn(0x7b, 10, 2, slot(4), 0),
        insn(0x07, 3, 0, 0, offsets.skb_dev),
    ];
    insns.extend(read(POINTER, 8));
    insns.extend([
        insn(0x79, 7, 10, POINTER, 0), // r7 = dev
        insn(0xbf, 3, 7, 0, 0),
        insn(0x07, 3, 0, 0, offsets.dev_ifindex),
    ]);
    insns.extend(read(slot(3), 4));
    insns.extend([insn(0xbf, 3, 7, 0, 0), insn(0x07, 3, 0, 0, offsets.dev_net)]);
    insns.extend(read(POINTER, 8));
    insns.extend([insn(0x79, 3, 10, POINTER, 0), insn(0x07, 3, 0, 0, offsets.net_inum)]);
    insns.extend(read(slot(2), 4));
    insns.extend([
        insn(0x85, 0, 0, 0, kernel::BPF_FUNC_ktime_get_ns as i32),
        insn(0x7b, 10, 0, slot(0), 0),
        insn(0xbf, 1, 6, 0, 0),
        insn(0x18, 2, 1, 0, stream.raw().cast_signed()), // r2 = map
        0,
        insn(0xb4, 3, 0, 0, -1), // w3 = BPF_F_CURRENT_CPU
        insn(0xbf, 4, 10, 0, 0), // r4 = r10
        insn(0x07, 4, 0, 0, -SIZE),
        insn(0xb7, 5, 0, 0, SIZE),
        insn(0x85, 0, 0, 0, kernel::BPF_FUNC_perf_event_output as i32),
        insn(0xb7, 0, 0, 0, 0),
        insn(0x95, 0, 0, 0, 0),
    ]);
    insns
}
