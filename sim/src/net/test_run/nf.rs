//! Netfilter programs: `net/bpf/test_run.c: bpf_prog_test_run_nf`, v6.12. Nothing comes back but the return value.

use super::skb::{MAX_LEN, eth_type_trans};
use super::{Stop, TestRun, TestRunOut, ctx_init, finish};
use crate::bpf::machine::ProgId;
use crate::net::kernel::Kernel;
use crate::net::network::LOOPBACK;
use crate::net::nf::{Hook, Nf};
use crate::net::run::Packet;
use crate::net::skb::{ETH_HLEN, SkBuff, eth_p};
use crate::uapi::Errno;
use crate::uapi::ctx::nf::{HOOK, IN, NF_INET_LOCAL_OUT, NFPROTO_IPV4, NFPROTO_IPV6, PF, STATE_SIZE};

/// `sizeof(struct iphdr)`.
const IPHDR: u32 = 20;
/// `sizeof(struct ipv6hdr)`.
const IPV6HDR: u32 = 40;

impl Kernel {
    pub(super) fn test_run_nf(&mut self, prog: ProgId, test: &TestRun<'_>) -> Result<TestRunOut, Stop> {
        if test.flags != 0 || test.cpu != 0 || test.batch_size != 0 {
            return Err(Errno::EINVAL.into());
        }
        let size = u32::try_from(test.data_in.len()).map_err(|_| Errno::EINVAL)?;
        if !(IPHDR..=MAX_LEN).contains(&size) {
            return Err(Errno::EINVAL.into());
        }
        let hook = match ctx_init(test, STATE_SIZE)? {
            Some(ctx) => hook_of(&ctx)?,
            None => Hook { hook: NF_INET_LOCAL_OUT, pf: NFPROTO_IPV4, has_out: false },
        };
        let mem = &mut self.machine.mem;
        let mut skb = SkBuff::new(mem, test.data_in);
        if hook.hook == NF_INET_LOCAL_OUT {
            skb.protocol = if hook.pf == NFPROTO_IPV4 { eth_p::IP } else { eth_p::IPV6 };
        } else {
            if size < ETH_HLEN + IPHDR {
                return Err(Errno::EINVAL.into());
            }
            eth_type_trans(&mut skb, mem, self.env.device(LOOPBACK).ok_or(Errno::ENODEV)?);
            match skb.protocol {
                eth_p::IP if hook.pf == NFPROTO_IPV4 => {}
                eth_p::IPV6 if size >= ETH_HLEN + IPV6HDR && hook.pf == NFPROTO_IPV6 => {}
                eth_p::IP | eth_p::IPV6 => return Err(Errno::EINVAL.into()),
                _ => return Err(Errno::EPROTO.into()),
            }
            skb.reset_network_header();
        }
        let nf = Nf::new(mem, hook, skb).ok_or(Errno::ENOMEM)?;
        let addrs = nf.addrs();
        let done = self.run_repeatedly(prog, Packet::Nf(Box::new(nf)), test.repeat);
        for addr in addrs {
            self.machine.mem.free(addr);
        }
        let (retval, _) = done?;
        Ok(finish(test, retval, (&[], &[]), None)?)
    }
}

/// `verify_and_copy_hook_state`. It looks at the hook that was set before, which is the output hook, to choose the
/// devices: `out` is the loopback at every hook.
fn hook_of(ctx: &[u8]) -> Result<Hook, Errno> {
    if ctx[IN..].iter().any(|&byte| byte != 0) || ![NFPROTO_IPV4, NFPROTO_IPV6].contains(&ctx[PF]) {
        return Err(Errno::EINVAL);
    }
    Ok(Hook { hook: ctx[HOOK], pf: ctx[PF], has_out: true })
}
