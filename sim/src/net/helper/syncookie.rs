//! SYN cookies: `net/ipv4/syncookies.c` and `net/ipv6/syncookies.c`, v6.12.
//!
//! A cookie hides a secret that a kernel draws at random; here it is always the same one. So a cookie itself is like no
//! kernel's, and a scenario that shows one ignores it by name; whether it is taken back, and the MSS in it, are the
//! kernel's.

use super::{Arg, Call, Helper, Ret, TC};
use crate::net::siphash::{Key, siphash};
use crate::net::sock::AF_INET6;
use crate::net::sockets::{Known, TCP_LISTEN};
use crate::uapi::ProgType::Xdp;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const TYPES: ProgTypes = TC.or(ProgTypes::of(&[Xdp]));
const OF_LISTENER: &[Arg] = &[Arg::Sock, Arg::Mem, Arg::Size, Arg::Mem, Arg::Size];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::tcp_check_syncookie, TYPES, OF_LISTENER, check, "net/core/filter.c: bpf_tcp_check_syncookie"),
    Helper::new(id::tcp_gen_syncookie, TYPES, OF_LISTENER, gen_cookie, "net/core/filter.c: bpf_tcp_gen_syncookie"),
    Helper::new(id::tcp_raw_gen_syncookie_ipv4, TYPES, &[Arg::FixedIn(IPHDR as u32), Arg::Mem, Arg::SizeOrZero],
        |call| raw_gen(call, &V4), "net/core/filter.c: bpf_tcp_raw_gen_syncookie_ipv4"),
    Helper::new(id::tcp_raw_gen_syncookie_ipv6, TYPES, &[Arg::FixedIn(IPV6HDR as u32), Arg::Mem, Arg::SizeOrZero],
        |call| raw_gen(call, &V6), "net/core/filter.c: bpf_tcp_raw_gen_syncookie_ipv6"),
    Helper::new(id::tcp_raw_check_syncookie_ipv4, TYPES, &[Arg::FixedIn(IPHDR as u32), Arg::FixedIn(TCPHDR as u32)],
        |call| raw_check(call, &V4), "net/core/filter.c: bpf_tcp_raw_check_syncookie_ipv4"),
    Helper::new(id::tcp_raw_check_syncookie_ipv6, TYPES, &[Arg::FixedIn(IPV6HDR as u32), Arg::FixedIn(TCPHDR as u32)],
        |call| raw_check(call, &V6), "net/core/filter.c: bpf_tcp_raw_check_syncookie_ipv6"),
];

/// `sizeof(struct iphdr)`.
const IPHDR: usize = 20;
/// `sizeof(struct ipv6hdr)`.
const IPV6HDR: usize = 40;
/// `sizeof(struct tcphdr)`.
const TCPHDR: usize = 20;
/// `IPPROTO_TCP`.
const IPPROTO_TCP: u16 = 6;
/// `COOKIEBITS`.
const COOKIEBITS: u32 = 24;
/// `COOKIEMASK`.
const COOKIEMASK: u32 = (1 << COOKIEBITS) - 1;
/// `MAX_SYNCOOKIE_AGE`, minutes.
const MAX_SYNCOOKIE_AGE: u32 = 2;
/// `TCP_SYNCOOKIE_PERIOD`, nanoseconds.
const TCP_SYNCOOKIE_PERIOD: u64 = 60_000_000_000;
/// `TCPOPT_EOL`.
const TCPOPT_EOL: u8 = 0;
/// `TCPOPT_NOP`.
const TCPOPT_NOP: u8 = 1;
/// `TCPOPT_MSS`.
const TCPOPT_MSS: u8 = 2;
/// `TCPOLEN_MSS`.
const TCPOLEN_MSS: usize = 4;

/// Where a TCP header has its flags.
const FLAGS: usize = 13;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What differs between the two families.
struct Family {
    header: usize,
    /// `msstab`: what two bits of a cookie may mean.
    mss: [u16; 4],
    /// The MSS of a segment that tells none.
    default_mss: u16,
    /// `syncookie_secret`, `syncookie6_secret`.
    secret: [Key; 2],
}

const V4: Family = Family {
    header: IPHDR,
    mss: [536, 1300, 1440, 1460],
    default_mss: 536,
    secret: [[0x6270_6674_7769_6e04, 1], [0x6270_6674_7769_6e04, 2]],
};
const V6: Family = Family {
    header: IPV6HDR,
    mss: [1280 - 60, 1480 - 60, 1500 - 60, 9000 - 60],
    default_mss: 1280 - 60,
    secret: [[0x6270_6674_7769_6e06, 1], [0x6270_6674_7769_6e06, 2]],
};

impl Family {
    /// `cookie_hash`: addresses and ports are taken as they lie in memory.
    fn hash(&self, ip: &[u8], tcp: &[u8], count: u32, which: usize) -> u32 {
        let (ports, count) = (&tcp[..4], count.to_le_bytes());
        let bytes = if self.header == IPHDR {
            // `sport << 16 | dport`: the destination's two bytes come first.
            [&ip[12..20], &ports[2..], &ports[..2], &count].concat()
        } else {
            [&ip[8..40], &count, ports].concat()
        };
        siphash(&bytes, self.secret[which]) as u32
    }

    /// `__cookie_v4_init_sequence`, `__cookie_v6_init_sequence`: the cookie, and the MSS it keeps.
    fn make(&self, ip: &[u8], tcp: &[u8], mss: u16, count: u32) -> (u32, u16) {
        let index = (1..4).rev().find(|&index| mss >= self.mss[index]).unwrap_or(0);
        let second = self.hash(ip, tcp, count, 1).wrapping_add(index as u32) & COOKIEMASK;
        let first = self.hash(ip, tcp, 0, 0).wrapping_add(be32(tcp, 4)).wrapping_add(count << COOKIEBITS);
        (first.wrapping_add(second), self.mss[index])
    }

    /// `__cookie_v4_check`, `__cookie_v6_check`: whether the segment acknowledges a cookie not too old.
    fn check(&self, ip: &[u8], tcp: &[u8], count: u32) -> bool {
        let sequence = be32(tcp, 4).wrapping_sub(1);
        let cookie =
            be32(tcp, 8).wrapping_sub(1).wrapping_sub(self.hash(ip, tcp, 0, 0).wrapping_add(sequence));
        let age = count.wrapping_sub(cookie >> COOKIEBITS) & (u32::MAX >> COOKIEBITS);
        let made = self.hash(ip, tcp, count.wrapping_sub(age), 1);
        age < MAX_SYNCOOKIE_AGE && cookie.wrapping_sub(made) & COOKIEMASK < 4
    }
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"))
}

/// `tcp_parse_mss_option`; 0: there is none.
fn mss_option(tcp: &[u8]) -> u16 {
    let (mut options, mut mss) = (&tcp[TCPHDR..], 0);
    while let [kind, rest @ ..] = options {
        match (*kind, rest) {
            (TCPOPT_NOP, _) => options = rest,
            (TCPOPT_EOL, _) | (_, []) => break,
            (_, [len, ..]) => {
                let len = usize::from(*len);
                if len < 2 || len > options.len() {
                    break;
                }
                if *kind == TCPOPT_MSS && len == TCPOLEN_MSS {
                    let told = u16::from_be_bytes([options[2], options[3]]);
                    mss = if told == 0 { mss } else { told };
                }
                options = &options[len..];
            }
        }
    }
    mss
}

/// Whether `th_len` is what the header itself says.
fn is_whole(tcp: &[u8]) -> bool {
    tcp.len() >= TCPHDR && tcp.len() == usize::from(tcp[12] >> 4) * 4
}

impl Call<'_, '_> {
    /// `tcp_cookie_time`: minutes.
    fn cookie_time(&self) -> u32 {
        (self.run.env.clock_ns / TCP_SYNCOOKIE_PERIOD) as u32
    }

    /// The IP header, the TCP header, and the socket that listens; with the checks common to both helpers.
    fn of_listener(&self) -> Result<(Vec<u8>, Vec<u8>, Known), super::Failure> {
        let [_, ip, ip_len, tcp, tcp_len] = self.args;
        let (ip, tcp) = (self.mem(ip, ip_len)?.to_vec(), self.mem(tcp, tcp_len)?.to_vec());
        Ok((ip, tcp, self.sock(1)?))
    }
}

fn is_listener(sk: &Known) -> bool {
    sk.socket.state == TCP_LISTEN && sk.socket.protocol == IPPROTO_TCP
}

/// Whether a header of this version can be one of the socket's.
fn check_version(ip: &[u8], sk: &Known) -> Result<(), Errno> {
    match ip[0] >> 4 {
        4 if sk.socket.family == AF_INET6 && sk.v6only => Err(Errno::EINVAL),
        6 if ip.len() < IPV6HDR || sk.socket.family != AF_INET6 => Err(Errno::EINVAL),
        4 | 6 => Ok(()),
        _ => Err(Errno::EPROTONOSUPPORT),
    }
}

/// No listener's queue was ever full, so none has given out cookies: `tcp_synq_no_recent_overflow`.
fn check(call: &mut Call<'_, '_>) -> Ret {
    let (ip, tcp, sk) = call.of_listener()?;
    if tcp.len() < TCPHDR || !is_listener(&sk) {
        return Err(Errno::EINVAL.into());
    }
    if tcp[FLAGS] & (SYN | RST | ACK) == ACK && ip.len() < IPHDR {
        return Err(Errno::EINVAL.into());
    }
    Err(Errno::ENOENT.into())
}

/// No listener's queue is full, so with `net.ipv4.tcp_syncookies` at 1 none gives out a cookie: `tcp_get_syncookie_mss`.
fn gen_cookie(call: &mut Call<'_, '_>) -> Ret {
    let (ip, tcp, sk) = call.of_listener()?;
    if !is_whole(&tcp) || !is_listener(&sk) {
        return Err(Errno::EINVAL.into());
    }
    if tcp[FLAGS] & (FIN | SYN | RST | ACK) != SYN || ip.len() < IPHDR {
        return Err(Errno::EINVAL.into());
    }
    check_version(&ip, &sk)?;
    Err(Errno::ENOENT.into())
}

fn raw_gen(call: &mut Call<'_, '_>, family: &Family) -> Ret {
    let [ip, tcp, tcp_len, ..] = call.args;
    let (ip, tcp) = (call.mem(ip, family.header as u64)?, call.mem(tcp, tcp_len)?);
    if !is_whole(tcp) {
        return Err(Errno::EINVAL.into());
    }
    let mss = match mss_option(tcp) {
        0 => family.default_mss,
        mss => mss,
    };
    let (cookie, mss) = family.make(ip, tcp, mss, call.cookie_time());
    Ok(u64::from(cookie) | u64::from(mss) << 32)
}

fn raw_check(call: &mut Call<'_, '_>, family: &Family) -> Ret {
    let [ip, tcp, ..] = call.args;
    let (ip, tcp) = (call.mem(ip, family.header as u64)?, call.mem(tcp, TCPHDR as u64)?);
    if family.check(ip, tcp, call.cookie_time()) { Ok(0) } else { Err(Errno::EACCES.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_taken_back_for_two_minutes() {
        for family in [V4, V6] {
            let ip: Vec<u8> = (0..family.header as u8).collect();
            let mut tcp = vec![7; TCPHDR];
            let sequence = be32(&tcp, 4);
            for (mss, kept) in [(0, 0), (family.mss[1] - 1, 0), (family.mss[1], 1), (u16::MAX, 3)] {
                let (cookie, told) = family.make(&ip, &tcp, mss, 9);
                assert_eq!(told, family.mss[kept]);
                let mut ack = tcp.clone();
                ack[4..8].copy_from_slice(&(sequence + 1).to_be_bytes());
                ack[8..12].copy_from_slice(&cookie.wrapping_add(1).to_be_bytes());
                assert!(family.check(&ip, &ack, 9) && family.check(&ip, &ack, 10));
                assert!(!family.check(&ip, &ack, 11) && !family.check(&ip, &ack, 8));
                ack[8] ^= 1;
                assert!(!family.check(&ip, &ack, 9));
            }
            tcp[0] ^= 1;
        }
    }

    #[test]
    fn the_last_mss_of_the_options_counts() {
        let with = |options: &[u8]| mss_option(&[&[0; TCPHDR], options].concat());
        assert_eq!(with(&[]), 0);
        assert_eq!(with(&[1, 2, 4, 5, 180]), 1460);
        assert_eq!(with(&[2, 4, 1, 0, 2, 4, 2, 0]), 512);
        assert_eq!(with(&[2, 4, 1, 0, 2, 4, 0, 0]), 256);
        assert_eq!(with(&[0, 2, 4, 1]), 0);
        assert_eq!(with(&[3, 9, 2, 4, 1, 0]), 0);
        assert_eq!(with(&[3, 1, 2, 4]), 0);
        assert_eq!(with(&[2]), 0);
    }
}
