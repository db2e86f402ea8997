//! The socket a given context tells of: its options, and its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Arg, Call, Helper, Ret};
use crate::net::network::RouteKind;
use crate::net::run::Packet;
use crate::net::sock::{AF_INET, AF_INET6, SOCK_STREAM, TCP_CLOSE};
use crate::uapi::ProgType::{CgroupSockAddr, CgroupSockopt, SockOps};
use crate::uapi::ctx::bpf_sock;
use crate::uapi::helper::id;
use crate::uapi::sockopt::{level, tcp};
use crate::uapi::{Errno, ProgTypes};

const BY_CTX: ProgTypes = ProgTypes::of(&[CgroupSockAddr, SockOps]);
const BY_SOCK: ProgTypes = ProgTypes::of(&[CgroupSockopt]);

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::setsockopt, BY_CTX, &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Mem, Arg::Size], setsockopt,
        "net/core/filter.c: bpf_sock_addr_setsockopt, bpf_sock_ops_setsockopt"),
    Helper::new(id::setsockopt, BY_SOCK, &[Arg::Sock, Arg::Any, Arg::Any, Arg::Mem, Arg::Size], sk_setsockopt,
        "net/core/filter.c: bpf_sk_setsockopt"),
    Helper::new(id::getsockopt, BY_CTX, &[Arg::Ctx, Arg::Any, Arg::Any, Arg::MemOut, Arg::Size], getsockopt,
        "net/core/filter.c: bpf_sock_addr_getsockopt, bpf_sock_ops_getsockopt"),
    Helper::new(id::getsockopt, BY_SOCK, &[Arg::Sock, Arg::Any, Arg::Any, Arg::MemOut, Arg::Size], sk_getsockopt,
        "net/core/filter.c: bpf_sk_getsockopt"),
    Helper::new(id::bind, ProgTypes::of(&[CgroupSockAddr]), &[Arg::Ctx, Arg::Mem, Arg::Size], bind,
        "net/core/filter.c: bpf_bind"),
];

/// What is not known of some sockets.
const CHOSEN: &str = "what the kernel chooses for a connection's buffers";
/// `LOOPBACK4_IPV6`, network byte order in memory: the IPv4 address of a socket whose IPv6 address has none.
const LOOPBACK4_IPV6: u32 = 0x0600_007f;
/// `sizeof(struct sockaddr_in)`.
const SOCKADDR_IN: usize = 16;
/// `SIN6_LEN_RFC2133`.
const SIN6_LEN_RFC2133: usize = 24;
/// `sizeof(struct sockaddr_in6)`.
const SOCKADDR_IN6: usize = 28;

fn sk_setsockopt(call: &mut Call<'_, '_>) -> Ret {
    call.check_sock()?;
    setsockopt(call)
}

fn sk_getsockopt(call: &mut Call<'_, '_>) -> Ret {
    call.check_sock()?;
    getsockopt(call)
}

impl Call<'_, '_> {
    /// The socket has to be the context's.
    fn check_sock(&mut self) -> Result<(), super::Failure> {
        let sk = self.args[0];
        if self.given().sk == Some(sk) { Ok(()) } else { Err(self.bad_arg(1, "not the socket").into()) }
    }
}

fn setsockopt(call: &mut Call<'_, '_>) -> Ret {
    call.check_attach_type(id::setsockopt)?;
    let [_, level, name, value, len] = call.args;
    let value = call.mem(value, len)?.to_vec();
    let Packet::Given(given) = &mut call.run.packet else { unreachable!("the row is for given contexts") };
    let option = (level as i32, name as i32);
    if !given.knows_option(&call.machine.mem, option, true) {
        return Err(call.not_modelled(CHOSEN));
    }
    let around = (&call.run.env.devices[..], call.machine.release);
    given.setsockopt(&mut call.machine.mem, around, option, &value)?;
    Ok(0)
}

fn getsockopt(call: &mut Call<'_, '_>) -> Ret {
    call.check_attach_type(id::getsockopt)?;
    let [_, level, name, out, len] = call.args;
    let option = (level as i32, name as i32);
    if call.run.prog_type == SockOps
        && option.0 == level::SOL_TCP
        && (tcp::BPF_SYN..=tcp::BPF_SYN_MAC).contains(&option.1)
    {
        return Err(call.not_modelled("the SYN of the connection"));
    }
    let Packet::Given(given) = &call.run.packet else { unreachable!("the row is for given contexts") };
    if !given.knows_option(&call.machine.mem, option, false) {
        return Err(call.not_modelled(CHOSEN));
    }
    let value = given.getsockopt(&call.machine.mem, call.machine.release, option, len as usize);
    let bytes = call.mem_mut(out, len)?;
    bytes.fill(0);
    let value = value?;
    bytes[..value.len()].copy_from_slice(&value);
    Ok(0)
}

/// `net/ipv4/af_inet.c: __inet_bind` and `net/ipv6/af_inet6.c: __inet6_bind` with `BIND_FROM_BPF`, v6.12. No other socket
/// has a port, and port 0 takes none (`BIND_FORCE_ADDRESS_NO_PORT`).
fn bind(call: &mut Call<'_, '_>) -> Ret {
    call.check_attach_type(id::bind)?;
    let [_, addr, len, ..] = call.args;
    let addr = call.mem(addr, len)?.to_vec();
    let Some(&family) = addr.first_chunk() else { return Err(Errno::EINVAL.into()) };
    let family = u16::from_le_bytes(family);
    let least = match family {
        AF_INET => SOCKADDR_IN,
        AF_INET6 => SIN6_LEN_RFC2133,
        _ => return Err(Errno::EAFNOSUPPORT.into()),
    };
    if addr.len() < least {
        return Err(Errno::EINVAL.into());
    }
    let (given, mem) = call.given_and_mem();
    let of = given.sk_word(mem, bpf_sock::FAMILY);
    if of != u32::from(family) {
        return Err(call.not_modelled("a socket of one family with an address of another"));
    }
    let port = u16::from_be_bytes([addr[2], addr[3]]);
    let in_use =
        given.sk_word(mem, bpf_sock::STATE) != TCP_CLOSE || given.sk_word(mem, bpf_sock::SRC_PORT) != 0;
    let mut v4 = 0;
    let words: Vec<u32> = if family == AF_INET {
        let to: [u8; 4] = addr[4..8].try_into().expect("4 bytes");
        if !call.is_bindable4(Ipv4Addr::from(to)) {
            return Err(Errno::EADDRNOTAVAIL.into());
        }
        if in_use {
            return Err(Errno::EINVAL.into());
        }
        vec![u32::from_le_bytes(to)]
    } else {
        let to: [u8; 16] = addr[8..24].try_into().expect("16 bytes");
        let address = Ipv6Addr::from(to);
        call.check_bindable6(address, &addr, in_use)?;
        if !address.is_unspecified() {
            let mapped = address.to_ipv4_mapped().map(|v4| u32::from_le_bytes(v4.octets()));
            v4 = mapped.unwrap_or(LOOPBACK4_IPV6);
        }
        to.chunks(4).map(|word| u32::from_le_bytes(word.try_into().expect("4 bytes"))).collect()
    };
    let (given, mem) = call.given_and_mem();
    given.set_sk_word(mem, bpf_sock::SRC_IP4, v4);
    let at = if family == AF_INET { bpf_sock::SRC_IP4 } else { bpf_sock::SRC_IP6 };
    for (index, word) in words.into_iter().enumerate() {
        given.set_sk_word(mem, at + 4 * index, word);
    }
    given.set_sk_word(mem, bpf_sock::SRC_PORT, port.into());
    Ok(0)
}

impl Call<'_, '_> {
    fn given_and_mem(&mut self) -> (&mut crate::net::given::Given, &mut crate::bpf::Memory) {
        match &mut self.run.packet {
            Packet::Given(given) => (given, &mut self.machine.mem),
            _ => unreachable!("the row is for given contexts"),
        }
    }

    /// `inet_addr_valid_or_nonlocal`: `inet_addr_type_table` says local, broadcast or multicast, or it is any address.
    fn is_bindable4(&self, to: Ipv4Addr) -> bool {
        // `ipv4_is_zeronet`, `ipv4_is_lbcast`, `ipv4_is_multicast`.
        if to.is_unspecified() || to.is_broadcast() || to.is_multicast() {
            return true;
        }
        matches!(
            self.run.env.fib.local_kind(IpAddr::V4(to)),
            Some(RouteKind::Local | RouteKind::Broadcast | RouteKind::Multicast)
        )
    }

    fn check_bindable6(&mut self, to: Ipv6Addr, addr: &[u8], in_use: bool) -> Result<(), Errno> {
        let (given, mem) = self.given_and_mem();
        if to.is_multicast() && given.sk_word(mem, bpf_sock::TYPE) == SOCK_STREAM || in_use {
            return Err(Errno::EINVAL);
        }
        if to.is_unspecified() {
            return Ok(());
        }
        let mut bound = given.sk_word(mem, bpf_sock::BOUND_DEV_IF);
        let mapped = to.to_ipv4_mapped();
        let link_local = to.segments()[0] & 0xffc0 == 0xfe80;
        let of_link = to.is_multicast() && matches!(to.segments()[0] & 0xf, 1 | 2);
        if link_local || of_link {
            if let Some(scope) = addr.get(24..SOCKADDR_IN6) {
                let scope = u32::from_le_bytes(scope.try_into().expect("4 bytes"));
                if scope != 0 {
                    bound = scope;
                    given.set_sk_word(mem, bpf_sock::BOUND_DEV_IF, bound);
                }
            }
            if bound == 0 {
                return Err(Errno::EINVAL);
            }
        }
        let env = &*self.run.env;
        if bound != 0 && env.device(bound).is_none() {
            return Err(Errno::ENODEV);
        }
        if let Some(v4) = mapped {
            return if self.is_bindable4(v4) { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) };
        }
        if to.is_multicast() {
            return Ok(());
        }
        // Addresses of one link or of this host belong to their device (`ipv6_chk_addr`).
        let near = link_local || to.is_loopback();
        let has = env.devices.iter().filter(|dev| dev.up && (!near || bound == 0 || dev.ifindex == bound));
        let mut addresses = has.flat_map(|dev| dev.addresses.iter());
        if addresses.any(|&(own, _)| own == IpAddr::V6(to)) { Ok(()) } else { Err(Errno::EADDRNOTAVAIL) }
    }
}
