//! sk_lookup programs: `net/bpf/test_run.c: bpf_prog_test_run_sk_lookup`, v6.12. No packet; the context says who looks for
//! a socket.

use super::{Room, Stop, TestRun, TestRunOut, ctx_init, finish, get_u32, get_u64};
use crate::bpf::machine::ProgId;
use crate::net::kernel::Kernel;
use crate::net::run::Packet;
use crate::net::sk_lookup::SkLookup;
use crate::net::sock::{AF_INET, AF_INET6};
use crate::uapi::Errno;
use crate::uapi::ctx::sk_lookup::SIZE;

const COOKIE: usize = 0;
const FAMILY: usize = 8;
const PROTOCOL: usize = 12;
const REMOTE_IP4: usize = 16;
const REMOTE_IP6: usize = 20;
const REMOTE_PORT: usize = 36;
const LOCAL_IP4: usize = 40;
const LOCAL_IP6: usize = 44;
const LOCAL_PORT: usize = 60;
const LOCAL_PORT_END: usize = 64;

/// `SK_PASS`.
const SK_PASS: u32 = 1;
/// `SK_DROP`.
const SK_DROP: u32 = 0;

impl Kernel {
    pub(super) fn test_run_sk_lookup(
        &mut self,
        prog: ProgId,
        test: &TestRun<'_>,
    ) -> Result<TestRunOut, Stop> {
        let wants_data = !test.data_in.is_empty() || matches!(test.data_out, Room::Bytes(1..));
        if test.flags != 0 || test.cpu != 0 || test.batch_size != 0 || wants_data {
            return Err(Errno::EINVAL.into());
        }
        let mut ctx = ctx_init(test, SIZE)?.ok_or(Errno::EINVAL)?;
        let lookup = lookup_of(&ctx)?;
        let (mut retval, mut last) = (SK_PASS, lookup.clone());
        for _ in 0..test.repeat.max(1) {
            let packet = Packet::SkLookup(Box::new(lookup.clone()));
            // `BPF_PROG_SK_LOOKUP_RUN_ARRAY`: of one program, which selects a socket only if it passes.
            let (answer, packet) = self.run_repeatedly(prog, packet, 1)?;
            let Packet::SkLookup(after) = packet else { unreachable!("a lookup stays what it is") };
            retval = if answer == SK_DROP { SK_DROP } else { SK_PASS };
            last = *after;
            last.selected = last.selected.filter(|_| retval == SK_PASS);
        }
        if let Some(selected) = last.selected {
            if selected.reuseport && !last.no_reuseport {
                return Err(Errno::EOPNOTSUPP.into());
            }
            ctx[COOKIE..COOKIE + 8].copy_from_slice(&selected.socket.cookie.to_le_bytes());
        }
        let test = TestRun { data_out: Room::Nothing, ..test.clone() };
        Ok(finish(&test, retval, (&[], &[]), Some(ctx))?)
    }
}

fn lookup_of(ctx: &[u8]) -> Result<SkLookup, Errno> {
    if get_u64(ctx, COOKIE) != 0 || ctx[LOCAL_PORT_END..].iter().any(|&byte| byte != 0) {
        return Err(Errno::EINVAL);
    }
    let local_port = u16::try_from(get_u32(ctx, LOCAL_PORT)).map_err(|_| Errno::ERANGE)?;
    let mut lookup = SkLookup {
        family: get_u32(ctx, FAMILY) as u16,
        protocol: get_u32(ctx, PROTOCOL) as u16,
        remote_port: u16::from_le_bytes([ctx[REMOTE_PORT], ctx[REMOTE_PORT + 1]]),
        local_port,
        ..SkLookup::default()
    };
    let words = |at: usize| [0, 1, 2, 3].map(|i| get_u32(ctx, at + 4 * i));
    match lookup.family {
        AF_INET => {
            (lookup.remote_ip4, lookup.local_ip4) = (get_u32(ctx, REMOTE_IP4), get_u32(ctx, LOCAL_IP4));
        }
        AF_INET6 => (lookup.remote_ip6, lookup.local_ip6) = (words(REMOTE_IP6), words(LOCAL_IP6)),
        _ => return Err(Errno::EAFNOSUPPORT),
    }
    Ok(lookup)
}
