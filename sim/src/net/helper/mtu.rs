//! `bpf_check_mtu`.

use super::{Arg, Call, Failure, Helper, Ret, TC};
use crate::net::skb::{ETH_HLEN, HEADER_UNSET};
use crate::uapi::ProgType::Xdp;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::check_mtu, TC, &[Arg::Ctx, Arg::Any, Arg::Fixed(4), Arg::Any, Arg::Any], skb_check_mtu,
        "net/core/filter.c: bpf_skb_check_mtu"),
    Helper::new(id::check_mtu, ProgTypes::of(&[Xdp]), &[Arg::Ctx, Arg::Any, Arg::Fixed(4), Arg::Any, Arg::Any],
        xdp_check_mtu, "net/core/filter.c: bpf_xdp_check_mtu"),
];

const BPF_MTU_CHK_SEGS: u64 = 1;
const SUCCESS: u64 = 0;
const FRAG_NEEDED: u64 = 1;
const SEGS_TOOBIG: u64 = 2;

fn skb_check_mtu(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, _, diff, flags] = call.args;
    let diff = diff as i32;
    let asked = call.mtu_len()?;
    let segs = flags & BPF_MTU_CHK_SEGS != 0;
    if flags & !BPF_MTU_CHK_SEGS != 0 || segs && (diff != 0 || asked != 0) {
        return call.refuse_flags();
    }
    let (dev, len) = (call.skb().0.dev, call.skb().0.len());
    let mtu = call.device_mtu(dev)?;
    let (skb, _) = call.skb();
    let answer = if fits(asked, len, diff, mtu) {
        SUCCESS
    } else if !skb.is_gso() {
        FRAG_NEEDED
    } else if !segs {
        // It may be cut into segments that fit.
        SUCCESS
    } else {
        // `skb_gso_validate_network_len`: headers from the network header on, and one segment.
        if skb.transport_header == HEADER_UNSET {
            return Err(Errno::EINVAL.into());
        }
        let headers = u32::from(skb.transport_header).wrapping_sub(skb.network_header);
        if headers.wrapping_add(skb.gso_size.into()) <= mtu { SUCCESS } else { SEGS_TOOBIG }
    };
    call.set_mtu_len(mtu)?;
    Ok(answer)
}

fn xdp_check_mtu(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, _, diff, flags] = call.args;
    if flags != 0 {
        return call.refuse_flags();
    }
    let asked = call.mtu_len()?;
    let (dev, len) = (call.xdp().0.ingress_ifindex, call.xdp().0.linear.len());
    let mtu = call.device_mtu(dev)?;
    call.set_mtu_len(mtu)?;
    Ok(if fits(asked, len, diff as i32, mtu) { SUCCESS } else { FRAG_NEEDED })
}

/// Whether a packet of `len` bytes, or of L3 length `asked` if not 0, fits after growing by `diff`. 32-bit signed
/// arithmetic, as the kernel's.
fn fits(asked: u32, len: u32, diff: i32, mtu: u32) -> bool {
    let header = ETH_HLEN as i32;
    let len = if asked == 0 { len as i32 } else { (asked as i32).wrapping_add(header) };
    len.wrapping_add(diff) <= mtu as i32 + header
}

impl Call<'_, '_> {
    fn mtu_len(&self) -> Result<u32, Failure> {
        let bytes = self.mem(self.args[2], 4)?;
        Ok(u32::from_le_bytes(bytes.try_into().expect("4 bytes")))
    }

    fn set_mtu_len(&mut self, mtu: u32) -> Result<(), Failure> {
        let at = self.args[2];
        self.mem_mut(at, 4)?.copy_from_slice(&mtu.to_le_bytes());
        Ok(())
    }

    fn refuse_flags(&mut self) -> Ret {
        if self.machine.release.check_mtu_clears_on_error() {
            self.set_mtu_len(0)?;
        }
        Err(Errno::EINVAL.into())
    }

    /// The MTU of the device asked for, which is `current` for 0.
    fn device_mtu(&mut self, current: u32) -> Result<u32, Failure> {
        let asked = self.args[1] as u32;
        let dev = self.run.env.device(if asked == 0 { current } else { asked });
        match dev {
            Some(dev) => Ok(dev.mtu),
            None if self.machine.release.check_mtu_clears_on_error() => {
                self.set_mtu_len(0)?;
                Err(Errno::ENODEV.into())
            }
            None => Err(Errno::ENODEV.into()),
        }
    }
}
