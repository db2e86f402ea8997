//! Programs whose context is an skb: `net/bpf/test_run.c: bpf_prog_test_run_skb`, v6.12.

use super::{
    BPF_F_TEST_SKB_CHECKSUM_COMPLETE, Stop, TestRun, TestRunOut, ctx_init, fault_at, finish, get_u32,
    get_u64, put_u32, put_u64,
};
use crate::bpf::machine::ProgId;
use crate::bpf::program::Program;
use crate::bpf::{Fault, FaultKind, Memory};
use crate::net::csum;
use crate::net::kernel::Kernel;
use crate::net::network::{Device, LOOPBACK};
use crate::net::run::Packet;
use crate::net::seg6;
use crate::net::skb::{Dst, ETH_HLEN, IpSummed, SHARED_INFO, SKB_PAD, SkBuff, eth_p, pkt_type};
use crate::net::sock::{AF_INET, AF_INET6, Sock};
use crate::uapi::ctx::skb::{CB_LEN, FIELDS, SIZE, SkbField};
use crate::uapi::{Errno, ProgType};

/// The longest packet: what fits into a page with its room.
pub(super) const MAX_LEN: u32 = 4096 - SKB_PAD - SHARED_INFO;
/// `GSO_LEGACY_MAX_SIZE`.
const GSO_LEGACY_MAX_SIZE: u32 = 65536;
/// `GSO_MAX_SEGS`.
const GSO_MAX_SEGS: u32 = 65535;

/// Fields `ctx_in` may set.
const IN: [SkbField; 10] = [
    SkbField::Mark,
    SkbField::Priority,
    SkbField::IngressIfindex,
    SkbField::Ifindex,
    SkbField::Cb,
    SkbField::Tstamp,
    SkbField::WireLen,
    SkbField::GsoSegs,
    SkbField::GsoSize,
    SkbField::Hwtstamp,
];

pub(super) const fn offset(field: SkbField) -> usize {
    let mut index = 0;
    while index < FIELDS.len() {
        if FIELDS[index].key as u32 == field as u32 {
            return FIELDS[index].offset as usize;
        }
        index += 1;
    }
    panic!("every field has a row")
}

impl Kernel {
    pub(super) fn test_run_skb(&mut self, prog: ProgId, test: &TestRun<'_>) -> Result<TestRunOut, Stop> {
        if test.flags & !BPF_F_TEST_SKB_CHECKSUM_COMPLETE != 0 || test.cpu != 0 || test.batch_size != 0 {
            return Err(Errno::EINVAL.into());
        }
        let size = u32::try_from(test.data_in.len()).map_err(|_| Errno::EINVAL)?;
        if !(ETH_HLEN..=MAX_LEN).contains(&size) {
            return Err(Errno::EINVAL.into());
        }
        let mut ctx = ctx_init(test, SIZE)?;
        let prog_type = self.machine.programs[prog.0 as usize].image().prog_type;
        let is_l2 = matches!(prog_type, ProgType::SchedCls | ProgType::SchedAct);

        let ifindex = ctx.as_ref().map_or(0, |ctx| get_u32(ctx, offset(SkbField::Ifindex)));
        let dev = self.env.device(if ifindex > 1 { ifindex } else { LOOPBACK }).ok_or(Errno::ENODEV)?;
        let mem = &mut self.machine.mem;
        let mut skb = SkBuff::new(mem, test.data_in);
        eth_type_trans(&mut skb, mem, dev);
        skb.reset_network_header();
        let mut sk = dummy_sock(&skb, mem)?;
        sk.cookie = self.env.next_cookie();
        let (guest, cookie) = (sk.guest, sk.cookie);
        skb.sk = Some(sk);

        let done = self.test_run_on(prog, test, skb, ctx.as_deref_mut(), is_l2);
        self.machine.maps.forget_storage(cookie);
        self.machine.mem.free(guest);
        let (retval, skb) = done?;
        let data = skb.linear.bytes(&self.machine.mem);
        Ok(finish(test, retval, (data, &[]), ctx)?)
    }

    /// From the packet just received to the packet after the last run, with `ctx` brought up to date.
    fn test_run_on(
        &mut self,
        prog: ProgId,
        test: &TestRun<'_>,
        mut skb: SkBuff,
        ctx: Option<&mut [u8]>,
        is_l2: bool,
    ) -> Result<(u32, Box<SkBuff>), Stop> {
        let prog_type = self.machine.programs[prog.0 as usize].image().prog_type;
        if is_l2 {
            skb.linear.move_data(-(ETH_HLEN as i32));
        }
        skb.has_data_pointers = match prog_type {
            ProgType::CgroupSkb => self.machine.release.cgroup_skb_test_run_has_data(),
            ProgType::SocketFilter => false,
            _ => true,
        };
        if let Some(ctx) = ctx.as_deref() {
            ctx_to_skb(ctx, &mut skb)?;
        }
        let complete = test.flags & BPF_F_TEST_SKB_CHECKSUM_COMPLETE != 0;
        if complete {
            skb.csum = sum_from_network_header(&skb, &self.machine.mem).expect("it was just received");
            skb.ip_summed = IpSummed::Complete;
        }
        if prog_type == ProgType::LwtXmit {
            skb.dst = Dst::Null;
        }
        if prog_type == ProgType::LwtSeg6local {
            skb.dst = Dst::Null;
            skb.reset_mac_len();
            skb.transport_header = skb.network_header as u16 + seg6::IPV6HDR as u16;
            seg6::advance(&mut skb, &mut self.machine.mem).ok_or(Errno::EINVAL)?;
        }
        let (retval, packet) = self.run_repeatedly(prog, Packet::Skb(Box::new(skb)), test.repeat)?;
        let Packet::Skb(mut skb) = packet else { unreachable!("a packet stays what it is") };
        let mem = &mut self.machine.mem;
        if !is_l2 {
            skb.push(mem, ETH_HLEN);
            skb.linear.bytes_mut(mem)[..ETH_HLEN as usize].fill(0);
        }
        if complete {
            let Some(sum) = sum_from_network_header(&skb, mem) else {
                return Err(Stop::Fault(Box::new(cut_off(&self.machine.programs[prog.0 as usize]))));
            };
            if csum::fold(skb.csum) != csum::fold(sum) {
                return Err(Errno::EBADMSG.into());
            }
        }
        if let Some(ctx) = ctx {
            skb_to_ctx(&skb, ctx);
        }
        Ok((retval, skb))
    }
}

/// `net/ethernet/eth.c: eth_type_trans`, v6.12: takes the Ethernet header off and reads it.
pub fn eth_type_trans(skb: &mut SkBuff, mem: &Memory, dev: &Device) {
    skb.dev = dev.ifindex;
    skb.reset_mac_header();
    let bytes = skb.linear.bytes(mem);
    let (dst, proto) = (&bytes[..6], u16::from_be_bytes([bytes[12], bytes[13]]));
    let raw = bytes.get(14..16) == Some(&[0xff, 0xff]);
    skb.pkt_type = if dst == dev.mac {
        pkt_type::HOST
    } else if dst[0] & 1 == 0 {
        pkt_type::OTHERHOST
    } else if dst == dev.broadcast {
        pkt_type::BROADCAST
    } else {
        pkt_type::MULTICAST
    };
    skb.protocol = if proto >= eth_p::MIN_802_3 {
        proto
    } else if raw {
        eth_p::P_802_3
    } else {
        eth_p::P_802_2
    };
    skb.pull(ETH_HLEN);
}

/// The socket the packet gets, after the length checks of its IP header.
fn dummy_sock(skb: &SkBuff, mem: &mut Memory) -> Result<Sock, Errno> {
    let bytes = skb.linear.bytes(mem);
    let (family, src, dst) = match skb.protocol {
        eth_p::IP if bytes.len() < 20 => return Err(Errno::EINVAL),
        eth_p::IP => (AF_INET, bytes[12..16].to_vec(), bytes[16..20].to_vec()),
        eth_p::IPV6 if bytes.len() < 40 => return Err(Errno::EINVAL),
        eth_p::IPV6 => (AF_INET6, bytes[8..24].to_vec(), bytes[24..40].to_vec()),
        _ => (0, Vec::new(), Vec::new()),
    };
    Sock::dummy(mem, family, &src, &dst).ok_or(Errno::ENOMEM)
}

/// The sum of everything from the network header on; `None` if the packet ends before it.
fn sum_from_network_header(skb: &SkBuff, mem: &Memory) -> Option<u32> {
    let offset = skb.network_offset();
    let mut bytes = vec![0; usize::try_from(skb.len() as i32 - offset).ok()?];
    skb.copy_bits(mem, offset, &mut bytes).then(|| csum::partial(&bytes, 0))
}

/// Where a kernel stops at `BUG_ON(len)` in `net/core/skbuff.c: skb_checksum`: no errno comes back.
fn cut_off(program: &Program) -> Fault {
    let what = "the program cut the packet off before its network header".to_owned();
    fault_at(program, 0, FaultKind::Instruction(what))
}

/// `convert___skb_to_skb`.
fn ctx_to_skb(ctx: &[u8], skb: &mut SkBuff) -> Result<(), Errno> {
    let mut rest = ctx.to_vec();
    for field in FIELDS.iter().filter(|f| IN.contains(&f.key)) {
        rest[field.offset as usize..(field.offset + field.size) as usize].fill(0);
    }
    if rest.iter().any(|&byte| byte != 0) {
        return Err(Errno::EINVAL);
    }
    let word = |field| get_u32(ctx, offset(field));
    let wire_len = word(SkbField::WireLen);
    if wire_len != 0 && !(skb.len()..=GSO_LEGACY_MAX_SIZE).contains(&wire_len) {
        return Err(Errno::EINVAL);
    }
    if word(SkbField::GsoSegs) > GSO_MAX_SEGS {
        return Err(Errno::EINVAL);
    }
    skb.mark = word(SkbField::Mark);
    skb.priority = word(SkbField::Priority);
    skb.skb_iif = word(SkbField::IngressIfindex);
    skb.tstamp = get_u64(ctx, offset(SkbField::Tstamp));
    skb.cb.copy_from_slice(&ctx[offset(SkbField::Cb)..][..CB_LEN]);
    skb.wire_len = if wire_len == 0 { skb.len() } else { wire_len };
    skb.gso_segs = word(SkbField::GsoSegs) as u16;
    skb.gso_size = word(SkbField::GsoSize) as u16;
    skb.hwtstamp = get_u64(ctx, offset(SkbField::Hwtstamp));
    Ok(())
}

/// `convert_skb_to___skb`: everything else keeps what `ctx_in` said.
fn skb_to_ctx(skb: &SkBuff, ctx: &mut [u8]) {
    put_u32(ctx, offset(SkbField::Mark), skb.mark);
    put_u32(ctx, offset(SkbField::Priority), skb.priority);
    put_u32(ctx, offset(SkbField::IngressIfindex), skb.skb_iif);
    put_u32(ctx, offset(SkbField::Ifindex), skb.dev);
    put_u64(ctx, offset(SkbField::Tstamp), skb.tstamp);
    ctx[offset(SkbField::Cb)..][..CB_LEN].copy_from_slice(&skb.cb);
    put_u32(ctx, offset(SkbField::WireLen), skb.wire_len);
    put_u32(ctx, offset(SkbField::GsoSegs), skb.gso_segs.into());
    put_u64(ctx, offset(SkbField::Hwtstamp), skb.hwtstamp);
}
