//! Flow dissectors: `net/bpf/test_run.c: bpf_prog_test_run_flow_dissector`, `net/core/flow_dissector.c:
//! bpf_flow_dissect`, v6.12.

use super::{Stop, TestRun, TestRunOut, ctx_init, finish, put_u32};
use crate::bpf::Access;
use crate::bpf::machine::ProgId;
use crate::bpf::mem::ObjectKind;
use crate::net::flow::Flow;
use crate::net::kernel::Kernel;
use crate::net::linear::Linear;
use crate::net::run::Packet;
use crate::net::skb::ETH_HLEN;
use crate::net::xdp::PAGE_SIZE;
use crate::uapi::Errno;
use crate::uapi::ctx::flow_keys::{FLAGS, N_PROTO, NHOFF, SIZE, THOFF};

impl Kernel {
    pub(super) fn test_run_flow_dissector(
        &mut self,
        prog: ProgId,
        test: &TestRun<'_>,
    ) -> Result<TestRunOut, Stop> {
        if test.flags != 0 || test.cpu != 0 || test.batch_size != 0 {
            return Err(Errno::EINVAL.into());
        }
        let size = u32::try_from(test.data_in.len()).map_err(|_| Errno::EINVAL)?;
        if !(ETH_HLEN..=PAGE_SIZE).contains(&size) {
            return Err(Errno::EINVAL.into());
        }
        let ctx = ctx_init(test, SIZE)?;
        let flags = match &ctx {
            Some(ctx) => flags(ctx)?,
            None => 0,
        };
        let kind = ObjectKind::Helper("flow keys");
        let keys = self.machine.mem.alloc(kind, Access::ReadWrite, SIZE).ok_or(Errno::ENOMEM)?;
        let linear = Linear::new(&mut self.machine.mem, 0, test.data_in, 0);
        let mut packet = Packet::Flow(Box::new(Flow { linear, keys }));
        let mut done = Ok(0);
        for _ in 0..test.repeat.max(1) {
            let fresh = self.machine.mem.raw_mut(keys, SIZE as usize);
            fresh.fill(0);
            fresh[N_PROTO..N_PROTO + 2].copy_from_slice(&test.data_in[12..14]);
            put_u16(fresh, NHOFF, ETH_HLEN as u16);
            put_u16(fresh, THOFF, ETH_HLEN as u16);
            put_u32(fresh, FLAGS, flags);
            match self.run_repeatedly(prog, packet, 1) {
                Ok((retval, same)) => (done, packet) = (Ok(retval), same),
                Err(stop) => {
                    done = Err(stop);
                    break;
                }
            }
            let found = self.machine.mem.raw_mut(keys, SIZE as usize);
            let nhoff = get_u16(found, NHOFF).clamp(ETH_HLEN as u16, size as u16);
            let thoff = get_u16(found, THOFF).clamp(nhoff, size as u16);
            put_u16(found, NHOFF, nhoff);
            put_u16(found, THOFF, thoff);
        }
        let found = self.machine.mem.raw(keys, SIZE as usize).to_vec();
        self.machine.mem.free(keys);
        Ok(finish(test, done?, (&found, &[]), ctx)?)
    }
}

/// `verify_user_bpf_flow_keys`: only `flags` may be given.
fn flags(ctx: &[u8]) -> Result<u32, Errno> {
    let (flags, mut rest) = (super::get_u32(ctx, FLAGS), ctx.to_vec());
    put_u32(&mut rest, FLAGS, 0);
    if rest.iter().all(|&byte| byte == 0) { Ok(flags) } else { Err(Errno::EINVAL) }
}

fn get_u16(keys: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([keys[at], keys[at + 1]])
}

fn put_u16(keys: &mut [u8], at: usize, value: u16) {
    keys[at..at + 2].copy_from_slice(&value.to_le_bytes());
}
