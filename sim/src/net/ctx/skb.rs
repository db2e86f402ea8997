//! `struct __sk_buff` over an [`SkBuff`]: `net/core/filter.c: bpf_convert_ctx_access`, `tc_cls_act_convert_ctx_access`,
//! v6.12.

use std::sync::LazyLock;

use crate::bpf::Addr;
use crate::net::skb::SkBuff;
use crate::uapi::ProgType;
use crate::uapi::ctx::skb::{FIELDS, NO_QUEUE_MAPPING, SkbField};
use crate::uapi::ctx::{access, narrow};

/// Reads `size` bytes at `offset`; an error says why a program of this type may not.
pub fn load(skb: &SkBuff, prog_type: ProgType, offset: u32, size: u32) -> Result<u64, &'static str> {
    let field = access(FIELDS, prog_type, offset, size, false)?;
    let inside = offset - field.offset;
    let sk = skb.sk.as_ref();
    let value = match field.key {
        SkbField::Len => u64::from(skb.len()),
        SkbField::PktType => u64::from(skb.pkt_type),
        SkbField::Mark => u64::from(skb.mark),
        SkbField::QueueMapping => u64::from(skb.queue_mapping),
        SkbField::Protocol => u64::from(skb.protocol.to_be()),
        SkbField::VlanPresent => u64::from(skb.vlan.is_some()),
        SkbField::VlanTci => u64::from(skb.vlan.map_or(0, |tag| tag.tci)),
        SkbField::VlanProto => u64::from(skb.vlan.map_or(0, |tag| tag.proto.to_be())),
        SkbField::Priority => u64::from(skb.priority),
        SkbField::IngressIfindex => u64::from(skb.skb_iif),
        SkbField::Ifindex => u64::from(skb.dev),
        SkbField::TcIndex => u64::from(skb.tc_index),
        SkbField::Cb => {
            let mut bytes = [0; 8];
            bytes[..size as usize].copy_from_slice(&skb.cb[inside as usize..][..size as usize]);
            return Ok(u64::from_le_bytes(bytes));
        }
        SkbField::Hash => u64::from(skb.hash),
        SkbField::TcClassid => u64::from(skb.tc_classid),
        SkbField::Data => skb.linear.data_addr(),
        SkbField::DataEnd => if_computed(skb, skb.linear.end_addr()),
        SkbField::DataMeta => if_computed(skb, skb.linear.meta_addr()),
        SkbField::Tstamp => skb.tstamp_as_seen(),
        SkbField::WireLen => u64::from(skb.wire_len),
        SkbField::GsoSegs => u64::from(skb.gso_segs),
        SkbField::Sk => sk.map_or(0, |sk| sk.guest),
        SkbField::GsoSize => u64::from(skb.gso_size),
        SkbField::TstampType => u64::from(skb.tstamp_type),
        SkbField::Hwtstamp => skb.hwtstamp,
        SkbField::Family => u64::from(sk.map_or(0, |sk| sk.family)),
        SkbField::RemoteIp4 => u64::from(sk.map_or(0, |sk| sk.daddr4)),
        SkbField::LocalIp4 => u64::from(sk.map_or(0, |sk| sk.saddr4)),
        SkbField::RemoteIp6 => return Ok(u64::from(sk.map_or(0, |sk| sk.daddr6[inside as usize / 4]))),
        SkbField::LocalIp6 => return Ok(u64::from(sk.map_or(0, |sk| sk.saddr6[inside as usize / 4]))),
        SkbField::RemotePort => u64::from(sk.map_or(0, |sk| sk.remote_port)) << 16,
        SkbField::LocalPort => u64::from(sk.map_or(0, |sk| sk.local_port)),
        // A packet here has no NAPI instance; flow keys are for flow dissectors alone.
        SkbField::NapiId | SkbField::FlowKeys => 0,
    };
    Ok(narrow(value, inside, size))
}

/// The words of the context, a bit each, that programs of this type may read and write and that hold nothing but what was
/// written last: `cb`, `mark` and `priority`.
pub fn own_words(prog_type: ProgType) -> u64 {
    static WORDS: LazyLock<Vec<u64>> = LazyLock::new(|| {
        let own = |prog_type| {
            FIELDS
                .iter()
                .filter(|field| matches!(field.key, SkbField::Cb | SkbField::Mark | SkbField::Priority))
                .filter(|field| field.read.contains(prog_type) && field.write.contains(prog_type))
                .flat_map(|field| (field.offset..field.offset + field.size).step_by(4))
                .fold(0, |words, offset| words | 1 << (offset / 4))
        };
        ProgType::ALL.iter().copied().map(own).collect()
    });
    WORDS[prog_type as usize]
}

/// `bpf_compute_data_pointers` fills in these two; before it, they are NULL.
fn if_computed(skb: &SkBuff, addr: Addr) -> Addr {
    if skb.has_data_pointers { addr } else { 0 }
}

/// Writes the low `size` bytes of `value` at `offset`; an error says why a program of this type may not.
pub fn store(
    skb: &mut SkBuff,
    prog_type: ProgType,
    offset: u32,
    size: u32,
    value: u64,
) -> Result<(), &'static str> {
    let field = access(FIELDS, prog_type, offset, size, true)?;
    match field.key {
        SkbField::Mark => skb.mark = value as u32,
        SkbField::QueueMapping if value < NO_QUEUE_MAPPING => skb.queue_mapping = value as u16,
        SkbField::QueueMapping => {}
        SkbField::Priority => skb.priority = value as u32,
        SkbField::TcIndex => skb.tc_index = value as u16,
        SkbField::Cb => {
            let inside = (offset - field.offset) as usize;
            skb.cb[inside..inside + size as usize].copy_from_slice(&value.to_le_bytes()[..size as usize]);
        }
        SkbField::TcClassid => skb.tc_classid = value as u16,
        SkbField::Tstamp => skb.tstamp = value,
        _ => unreachable!("{} is not writable", field.name),
    }
    Ok(())
}

/// Writes the number of a `BPF_ST` instruction. A `queue_mapping` is compared as a signed number there, so that a
/// negative one is stored, which out of a register is not.
pub fn store_imm(
    skb: &mut SkBuff,
    prog_type: ProgType,
    offset: u32,
    size: u32,
    imm: i32,
) -> Result<(), &'static str> {
    store(skb, prog_type, offset, size, i64::from(imm) as u64)?;
    if imm < 0 && access(FIELDS, prog_type, offset, size, true)?.key == SkbField::QueueMapping {
        skb.queue_mapping = imm as u16;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::Memory;

    #[test]
    fn writes_are_cut_to_the_fields_the_kernel_has() {
        let mut mem = Memory::new();
        let mut skb = SkBuff::new(&mut mem, &[0; 14]);
        let tc = ProgType::SchedCls;
        for (offset, written, read) in [
            (72, 0x12345, 0x2345),
            (44, 0x12345, 0x2345),
            (12, 7, 7),
            (12, 65535, 7),
            (12, 0x10009, 7),
            (32, 0xffff_ffff, 0xffff_ffff),
            (8, 0x8000_0001, 0x8000_0001),
        ] {
            store(&mut skb, tc, offset, 4, written).unwrap();
            assert_eq!(load(&skb, tc, offset, 4), Ok(read), "{written:#x} at {offset}");
        }
        store_imm(&mut skb, tc, 12, 4, -2).unwrap();
        assert_eq!(load(&skb, tc, 12, 4), Ok(0xfffe));
        store(&mut skb, tc, 12, 4, u64::MAX - 1).unwrap();
        assert_eq!(load(&skb, tc, 12, 4), Ok(0xfffe));
        store(&mut skb, tc, 48, 8, 0x1122_3344_5566_7788).unwrap();
        assert_eq!(load(&skb, tc, 52, 4), Ok(0x1122_3344));
        assert_eq!(load(&skb, tc, 49, 1), Ok(0x77));
    }

    #[test]
    fn protocol_is_in_network_order_and_narrow_reads_see_its_bytes() {
        let mut mem = Memory::new();
        let mut skb = SkBuff::new(&mut mem, &[0; 14]);
        skb.protocol = 0x0800;
        assert_eq!(load(&skb, ProgType::SchedCls, 16, 4), Ok(0x0008));
        assert_eq!(load(&skb, ProgType::SchedCls, 16, 1), Ok(0x08));
    }
}
