//! XDP programs: `net/bpf/test_run.c: bpf_prog_test_run_xdp`, v6.12. Live frames, which really leave the kernel, are
//! refused with `EOPNOTSUPP`, an errno the kernel does not give here.

use super::{BPF_F_TEST_XDP_LIVE_FRAMES, Stop, TestRun, TestRunOut, ctx_init, finish, get_u32, put_u32};
use crate::bpf::machine::ProgId;
use crate::net::kernel::Kernel;
use crate::net::linear::Linear;
use crate::net::network::LOOPBACK;
use crate::net::run::Packet;
use crate::net::skb::{ETH_HLEN, SHARED_INFO};
use crate::net::xdp::{Frag, MAX_SKB_FRAGS, PAGE_SIZE, XDP_FRAME, XDP_PACKET_HEADROOM, XdpBuff};
use crate::uapi::ctx::xdp::SIZE;
use crate::uapi::{AttachType, Errno};

const DATA: usize = 0;
const DATA_END: usize = 4;
const DATA_META: usize = 8;
const INGRESS_IFINDEX: usize = 12;
const RX_QUEUE_INDEX: usize = 16;
const EGRESS_IFINDEX: usize = 20;

impl Kernel {
    pub(super) fn test_run_xdp(&mut self, prog: ProgId, test: &TestRun<'_>) -> Result<TestRunOut, Stop> {
        let attach_type = self.machine.programs[prog.0 as usize].image().attach_type;
        if matches!(attach_type, Some(AttachType::XdpDevmap | AttachType::XdpCpumap))
            || test.flags & !BPF_F_TEST_XDP_LIVE_FRAMES != 0
        {
            return Err(Errno::EINVAL.into());
        }
        if test.flags & BPF_F_TEST_XDP_LIVE_FRAMES != 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if test.batch_size != 0 {
            return Err(Errno::EINVAL.into());
        }
        let mut ctx = ctx_init(test, SIZE)?;
        let size = test.data_in.len();
        let (mut meta_len, mut linear_len) = (0, size);
        if let Some(ctx) = &ctx {
            let (data, data_end) = (get_u32(ctx, DATA), get_u32(ctx, DATA_END));
            let meta_max = self.machine.release.xdp_metadata_max().min(XDP_PACKET_HEADROOM - XDP_FRAME);
            if get_u32(ctx, DATA_META) != 0
                || data_end as usize > size
                || data > data_end
                || !data.is_multiple_of(4)
                || data > meta_max
            {
                return Err(Errno::EINVAL.into());
            }
            (meta_len, linear_len) = (data, data_end as usize);
        }
        let headroom = XDP_PACKET_HEADROOM - meta_len;
        let linear_max = PAGE_SIZE - headroom - SHARED_INFO;
        let linear_len = linear_len.min(linear_max as usize);
        if size - (meta_len as usize) < ETH_HLEN as usize {
            return Err(Errno::EINVAL.into());
        }
        let (linear, rest) = test.data_in.split_at(linear_len);
        let (ingress_ifindex, rx_queue_index) = match &ctx {
            Some(ctx) => self.rx_queue(ctx)?,
            None => (LOOPBACK, 0),
        };
        if rest.len() > MAX_SKB_FRAGS * PAGE_SIZE as usize {
            return Err(Errno::ENOMEM.into());
        }
        let mem = &mut self.machine.mem;
        let mut linear = Linear::new(mem, headroom, linear, linear_max - linear_len as u32);
        linear.move_data(meta_len as i32);
        linear.set_meta_len(meta_len);
        let xdp = XdpBuff {
            linear,
            frags: rest.chunks(PAGE_SIZE as usize).map(|b| Frag { bytes: b.to_vec(), offset: 0 }).collect(),
            ingress_ifindex,
            rx_queue_index,
            // The kernel sets it for the loopback's queue alone.
            frag_size: if ingress_ifindex == LOOPBACK { PAGE_SIZE } else { 0 },
            has_frags: !rest.is_empty(),
            windows: Vec::new(),
        };
        let (retval, packet) = self.run_repeatedly(prog, Packet::Xdp(Box::new(xdp)), test.repeat)?;
        let Packet::Xdp(xdp) = packet else { unreachable!("a packet stays what it is") };
        if let Some(ctx) = &mut ctx {
            put_u32(ctx, DATA, xdp.linear.meta_len());
            put_u32(ctx, DATA_END, xdp.linear.meta_len() + xdp.linear.len());
        }
        let frags: Vec<&[u8]> = xdp.frags.iter().map(|f| f.bytes.as_slice()).collect();
        Ok(finish(test, retval, (xdp.linear.bytes_with_meta(&self.machine.mem), &frags), ctx)?)
    }

    /// `xdp_convert_md_to_buff`: the device and its receive queue. Every device here has one queue.
    fn rx_queue(&self, ctx: &[u8]) -> Result<(u32, u32), Errno> {
        if get_u32(ctx, EGRESS_IFINDEX) != 0 {
            return Err(Errno::EINVAL);
        }
        let (ifindex, queue) = (get_u32(ctx, INGRESS_IFINDEX), get_u32(ctx, RX_QUEUE_INDEX));
        match (ifindex, queue) {
            (0, 0) => Ok((LOOPBACK, 0)),
            (0, _) => Err(Errno::EINVAL),
            _ if self.env.device(ifindex).is_none() => Err(Errno::ENODEV),
            (_, 0) => Ok((ifindex, 0)),
            _ => Err(Errno::EINVAL),
        }
    }
}
