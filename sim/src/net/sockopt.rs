//! Options of the socket a given context tells of, as far as programs may ask for and set them: `net/core/filter.c:
//! __bpf_setsockopt, __bpf_getsockopt`, v6.12. The socket is as it was made: no option was set before the program.

use std::collections::BTreeMap;

use crate::bpf::Memory;
use crate::net::given::Given;
use crate::net::network::Device;
use crate::net::sock::{AF_INET6, IPPROTO_TCP, SOCK_STREAM, TCP_CLOSE};
use crate::uapi::ctx::{bpf_sock, sock_ops};
use crate::uapi::sockopt::{ip, ipv6, level, so, tcp};
use crate::uapi::{Errno, ProgType, Release};

/// `sysctl_wmem_max` and `sysctl_rmem_max`, `sysctl_wmem_default` and `sysctl_rmem_default`.
const MEM_MAX: i32 = 212_992;
/// `sysctl_tcp_wmem[1]`.
const TCP_WMEM: i32 = 16_384;
/// `sysctl_tcp_rmem[1]`.
const TCP_RMEM: i32 = 131_072;
/// `sysctl_tcp_rmem[2]` of a machine with memory enough.
const TCP_RMEM_MAX: i32 = 6 << 20;
/// `SOCK_MIN_RCVBUF`: `TCP_SKB_MIN_TRUESIZE`.
const SOCK_MIN_RCVBUF: i32 = 2304;
/// `SOCK_MIN_SNDBUF`.
const SOCK_MIN_SNDBUF: i32 = 2 * SOCK_MIN_RCVBUF;
/// `TCP_MSS_DEFAULT`.
const TCP_MSS_DEFAULT: i32 = 536;
/// `MAX_TCP_KEEPIDLE`, `MAX_TCP_KEEPINTVL`, `MAX_TCP_WINDOW`.
const LONGEST: i32 = 32_767;
/// `MAX_TCP_KEEPCNT`, `MAX_TCP_SYNCNT`.
const MOST: i32 = 127;
/// `TCP_MIN_MSS`.
const TCP_MIN_MSS: i32 = 88;
/// `HZ`, here 250, as microseconds of a jiffy.
const JIFFY_US: u32 = 4000;
/// `TCP_TIMEOUT_MIN`, `TCP_DELACK_MAX` and `TCP_RTO_MIN` in jiffies.
const TIMEOUTS: std::ops::RangeInclusive<u32> = 2..=50;
/// `INET_ECN_MASK`.
const INET_ECN_MASK: i32 = 3;
/// `TCP_CA_NAME_MAX`.
const TCP_CA_NAME_MAX: usize = 16;
/// `ip_tos2prio`.
const IP_TOS2PRIO: [i32; 16] = [0, 0, 0, 0, 2, 2, 2, 2, 6, 6, 6, 6, 4, 4, 4, 4];
/// Congestion controls there are: those of a kernel built without any more.
const CONGESTION: [&str; 2] = ["cubic", "reno"];
/// `BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB`: nobody has accepted the socket yet.
const BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB: u32 = 5;
/// `TCP_LISTEN`.
const TCP_LISTEN: u32 = 10;

/// What was set.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Options {
    values: BTreeMap<(i32, i32), i32>,
    congestion: Option<&'static str>,
    rcvbuf_locked: bool,
}

impl Given {
    /// A word of the socket's `struct bpf_sock`.
    pub fn sk_word(&self, mem: &Memory, offset: usize) -> u32 {
        let view = mem.raw(self.sk.expect("the context has a socket"), bpf_sock::SIZE as usize);
        u32::from_le_bytes(view[offset..offset + 4].try_into().expect("4 bytes"))
    }

    /// Overwrites one.
    pub fn set_sk_word(&self, mem: &mut Memory, offset: usize, value: u32) {
        let view = mem.raw_mut(self.sk.expect("the context has a socket"), bpf_sock::SIZE as usize);
        view[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    fn is_tcp(&self, mem: &Memory) -> bool {
        self.sk_word(mem, bpf_sock::PROTOCOL) == IPPROTO_TCP
    }

    fn is_stream(&self, mem: &Memory) -> bool {
        self.sk_word(mem, bpf_sock::TYPE) == SOCK_STREAM
    }

    /// Whether the level is one of this socket's (`sk_allows_sol_ip_sockopt`, `sol_ipv6_sockopt`, `sol_tcp_sockopt`).
    fn has_level(&self, mem: &Memory, level: i32) -> bool {
        match level {
            level::SOL_SOCKET | level::SOL_IP => true,
            level::SOL_IPV6 => self.sk_word(mem, bpf_sock::FAMILY) == u32::from(AF_INET6),
            level::SOL_TCP => self.is_tcp(mem),
            _ => false,
        }
    }

    /// Whether the option's value is known: the kernel chooses buffers and window of a TCP socket in a connection, and the
    /// context does not tell them.
    pub fn knows_option(&self, mem: &Memory, (level, name): (i32, i32), write: bool) -> bool {
        let chosen = match (level, name) {
            (level::SOL_SOCKET, so::SNDBUF | so::RCVBUF) | (level::SOL_TCP, tcp::WINDOW_CLAMP) => {
                !write && self.options.get((level, name)).is_none()
            }
            (level::SOL_SOCKET, so::RCVLOWAT) => write && !self.options.rcvbuf_locked,
            _ => false,
        };
        !(chosen && self.is_fullsock() && self.is_tcp(mem) && self.sk_word(mem, bpf_sock::STATE) != TCP_CLOSE)
    }

    /// `__bpf_setsockopt`.
    pub fn setsockopt(
        &mut self,
        mem: &mut Memory,
        (devices, release): (&[Device], Release),
        (level, name): (i32, i32),
        value: &[u8],
    ) -> Result<(), Errno> {
        self.has_option(mem, release, (level, name), value.len())?;
        match (level, name) {
            (level::SOL_SOCKET, so::BINDTODEVICE) => return self.bind_to_device(mem, devices, value),
            (level::SOL_TCP, tcp::CONGESTION) => return self.options.set_congestion(value),
            // The kernel looks for a size first.
            (level::SOL_TCP, tcp::SAVED_SYN) => return Err(Errno::ENOPROTOOPT),
            _ => {}
        }
        let val = i32::from_le_bytes(value.try_into().map_err(|_| Errno::EINVAL)?);
        match level {
            level::SOL_SOCKET => self.set_sol_socket(mem, name, val),
            level::SOL_TCP => self.set_sol_tcp(mem, name, val),
            level::SOL_IP if name == ip::TOS => {
                let old = self.options.get((level, name)).unwrap_or(0);
                let ecn = if self.is_stream(mem) { INET_ECN_MASK } else { 0 };
                let tos = val & !ecn | old & ecn;
                if old != tos {
                    self.options.set((level, name), i32::from(tos as u8));
                    let priority = IP_TOS2PRIO[(tos as usize & 0x1e) >> 1];
                    self.set_sk_word(mem, bpf_sock::PRIORITY, priority as u32);
                }
                Ok(())
            }
            level::SOL_IPV6 if name == ipv6::TCLASS => {
                if !(-1..=0xff).contains(&val) {
                    return Err(Errno::EINVAL);
                }
                let old = self.options.get((level, name)).unwrap_or(0);
                let ecn = if self.is_stream(mem) { INET_ECN_MASK } else { 0 };
                self.options.set((level, name), val.max(0) & !ecn | old & ecn);
                Ok(())
            }
            level::SOL_IPV6 if name == ipv6::AUTOFLOWLABEL => {
                self.options.set((level, name), i32::from(val != 0));
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    /// `net/core/sock.c: sk_setsockopt`, v6.12.
    fn set_sol_socket(&mut self, mem: &mut Memory, name: i32, val: i32) -> Result<(), Errno> {
        let mut kept = val;
        match name {
            so::REUSEADDR | so::REUSEPORT | so::KEEPALIVE => kept = i32::from(val != 0),
            so::SNDBUF => kept = ((val as u32).min(MEM_MAX as u32) as i32 * 2).max(SOCK_MIN_SNDBUF),
            so::RCVBUF => {
                kept = ((val as u32).min(MEM_MAX as u32) as i32 * 2).max(SOCK_MIN_RCVBUF);
                self.options.rcvbuf_locked = true;
            }
            so::PRIORITY => self.set_sk_word(mem, bpf_sock::PRIORITY, val as u32),
            so::MARK => self.set_sk_word(mem, bpf_sock::MARK, val as u32),
            so::BINDTOIFINDEX if val < 0 => return Err(Errno::EINVAL),
            so::BINDTOIFINDEX => self.set_sk_word(mem, bpf_sock::BOUND_DEV_IF, val as u32),
            so::RCVLOWAT => {
                self.set_rcvlowat(mem, if val < 0 { i32::MAX } else { val });
                return Ok(());
            }
            so::MAX_PACING_RATE => {}
            so::TXREHASH if !(-1..=1).contains(&val) => return Err(Errno::EINVAL),
            so::TXREHASH => kept = val.abs(),
            _ => return Err(Errno::EINVAL),
        }
        self.options.set((level::SOL_SOCKET, name), kept);
        Ok(())
    }

    /// `net/ipv4/tcp.c: tcp_set_rcvlowat`, v6.12, of TCP sockets that belong to someone.
    fn set_rcvlowat(&mut self, mem: &Memory, val: i32) {
        let orphan = self.prog_type == ProgType::SockOps
            && self.word(sock_ops::OP) == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB;
        let mut val = val;
        if self.is_tcp(mem) && !orphan {
            let rcvbuf = self.option(mem, (level::SOL_SOCKET, so::RCVBUF)).expect("every socket has one");
            let locked = self.options.rcvbuf_locked;
            val = val.min(if locked { rcvbuf >> 1 } else { TCP_RMEM_MAX >> 1 });
            // `tcp_space_from_win` before anything was received: half of the space is payload.
            if !locked && val * 2 > rcvbuf {
                self.options.set((level::SOL_SOCKET, so::RCVBUF), val * 2);
                let clamp = self.option(mem, (level::SOL_TCP, tcp::WINDOW_CLAMP)).unwrap_or(0);
                if clamp != 0 && clamp < val {
                    self.options.set((level::SOL_TCP, tcp::WINDOW_CLAMP), val);
                }
            }
        }
        self.options.set((level::SOL_SOCKET, so::RCVLOWAT), if val == 0 { 1 } else { val });
    }

    /// `net/core/sock.c: sock_setbindtodevice`, v6.12.
    fn bind_to_device(&mut self, mem: &mut Memory, devices: &[Device], value: &[u8]) -> Result<(), Errno> {
        let name = &value[..value.len().min(15)];
        let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        let ifindex = match devices.iter().find(|dev| dev.name.as_bytes() == name) {
            _ if name.is_empty() => 0,
            Some(dev) => dev.ifindex,
            None => return Err(Errno::ENODEV),
        };
        self.set_sk_word(mem, bpf_sock::BOUND_DEV_IF, ifindex);
        Ok(())
    }

    /// `net/core/filter.c: bpf_sol_tcp_setsockopt` and `net/ipv4/tcp.c: do_tcp_setsockopt`, v6.12.
    fn set_sol_tcp(&mut self, mem: &Memory, name: i32, val: i32) -> Result<(), Errno> {
        let within = |range: std::ops::RangeInclusive<i32>| {
            if range.contains(&val) { Ok(val) } else { Err(Errno::EINVAL) }
        };
        let state = self.sk_word(mem, bpf_sock::STATE);
        let sock_ops = self.prog_type == ProgType::SockOps;
        let kept = match name {
            tcp::NODELAY => i32::from(val != 0),
            tcp::MAXSEG if val == 0 => 0,
            tcp::MAXSEG => within(TCP_MIN_MSS..=LONGEST)?,
            tcp::KEEPIDLE | tcp::KEEPINTVL => within(1..=LONGEST)?,
            tcp::KEEPCNT | tcp::SYNCNT => within(1..=MOST)?,
            tcp::WINDOW_CLAMP if val == 0 && state != TCP_CLOSE => return Err(Errno::EINVAL),
            tcp::WINDOW_CLAMP if val == 0 => 0,
            tcp::WINDOW_CLAMP => val.max(SOCK_MIN_RCVBUF / 2),
            tcp::THIN_LINEAR_TIMEOUTS => within(0..=1)?,
            tcp::USER_TIMEOUT => within(0..=i32::MAX)?,
            tcp::NOTSENT_LOWAT => val,
            tcp::SAVE_SYN => within(0..=2)?,
            tcp::BPF_IW => {
                // What a SYN carried is not told.
                let sent = if sock_ops { self.word(sock_ops::DATA_SEGS_OUT) } else { 0 };
                if val <= 0 || sent > 0 {
                    return Err(Errno::EINVAL);
                }
                if sock_ops {
                    self.set_word(sock_ops::SND_CWND, val as u32);
                }
                return Ok(());
            }
            tcp::BPF_SNDCWND_CLAMP => {
                within(1..=i32::MAX)?;
                if sock_ops {
                    self.set_word(sock_ops::SND_SSTHRESH, val as u32);
                }
                return Ok(());
            }
            tcp::BPF_DELACK_MAX | tcp::BPF_RTO_MIN => {
                let jiffies = (val as u32).div_ceil(JIFFY_US);
                if !TIMEOUTS.contains(&jiffies) {
                    return Err(Errno::EINVAL);
                }
                (jiffies * JIFFY_US) as i32
            }
            tcp::BPF_SOCK_OPS_CB_FLAGS => {
                let flags = within(0..=0x7f)?;
                if sock_ops {
                    self.set_word(sock_ops::CB_FLAGS, val as u32);
                }
                flags
            }
            _ => return Err(Errno::EINVAL),
        };
        self.options.set((level::SOL_TCP, name), kept);
        Ok(())
    }

    /// What is refused before an option is looked at.
    fn has_option(
        &self,
        mem: &Memory,
        release: Release,
        (level, name): (i32, i32),
        len: usize,
    ) -> Result<(), Errno> {
        let flags = (level, name) == (level::SOL_TCP, tcp::BPF_SOCK_OPS_CB_FLAGS);
        if !self.is_fullsock() || !self.has_level(mem, level) || flags && !release.sockopt_has_cb_flags() {
            return Err(Errno::EINVAL);
        }
        let rehash = (level, name) == (level::SOL_SOCKET, so::TXREHASH) && len == 4;
        if rehash && !self.is_tcp(mem) && release.txrehash_is_for_tcp() {
            return Err(Errno::EOPNOTSUPP);
        }
        Ok(())
    }

    /// `__bpf_getsockopt`: the value, or why there is none; `room` is what the caller gives.
    pub fn getsockopt(
        &self,
        mem: &Memory,
        release: Release,
        (level, name): (i32, i32),
        room: usize,
    ) -> Result<Vec<u8>, Errno> {
        self.has_option(mem, release, (level, name), room)?;
        let timeout = matches!((level, name), (level::SOL_TCP, tcp::BPF_DELACK_MAX | tcp::BPF_RTO_MIN));
        if timeout && !release.sockopt_tells_timeouts() {
            return Err(Errno::EINVAL);
        }
        if (level, name) == (level::SOL_TCP, tcp::CONGESTION) {
            if room < 2 {
                return Err(Errno::EINVAL);
            }
            let mut text = self.options.congestion.unwrap_or(CONGESTION[0]).as_bytes().to_vec();
            text.resize(TCP_CA_NAME_MAX, 0);
            text.truncate(room - 1);
            return Ok(text);
        }
        let value = self.option(mem, (level, name)).filter(|_| room == 4).ok_or(Errno::EINVAL)?;
        Ok(value.to_le_bytes().to_vec())
    }

    /// An option's value, that was set or that sockets have at first; `None`: there is no such option to ask for.
    fn option(&self, mem: &Memory, (level, name): (i32, i32)) -> Option<i32> {
        let (is_tcp, sock_ops) = (self.is_tcp(mem), self.prog_type == ProgType::SockOps);
        let of_socket = |offset| Some(self.sk_word(mem, offset) as i32);
        match (level, name) {
            (level::SOL_SOCKET, so::PRIORITY) => return of_socket(bpf_sock::PRIORITY),
            (level::SOL_SOCKET, so::MARK) => return of_socket(bpf_sock::MARK),
            (level::SOL_SOCKET, so::BINDTOIFINDEX) => return of_socket(bpf_sock::BOUND_DEV_IF),
            (level::SOL_TCP, tcp::BPF_SOCK_OPS_CB_FLAGS) if sock_ops => {
                return Some(self.word(sock_ops::CB_FLAGS) as i32);
            }
            (level::SOL_TCP, tcp::MAXSEG) => {
                let user = self.options.get((level, name)).filter(|&user| user != 0);
                let open = !matches!(self.sk_word(mem, bpf_sock::STATE), TCP_CLOSE | TCP_LISTEN);
                let cache = if sock_ops { self.word(sock_ops::MSS_CACHE) as i32 } else { TCP_MSS_DEFAULT };
                return Some(user.filter(|_| !open).unwrap_or(cache));
            }
            _ => {}
        }
        let first = match (level, name) {
            (level::SOL_SOCKET, so::SNDBUF) if is_tcp => TCP_WMEM,
            (level::SOL_SOCKET, so::RCVBUF) if is_tcp => TCP_RMEM,
            (level::SOL_SOCKET, so::SNDBUF | so::RCVBUF) => MEM_MAX,
            (level::SOL_SOCKET, so::MAX_PACING_RATE) => -1,
            (level::SOL_TCP, tcp::BPF_DELACK_MAX | tcp::BPF_RTO_MIN) => 200_000,
            (level::SOL_TCP, tcp::KEEPIDLE) => 7200,
            (level::SOL_TCP, tcp::KEEPINTVL) => 75,
            (level::SOL_TCP, tcp::KEEPCNT) => 9,
            (level::SOL_TCP, tcp::SYNCNT) => 6,
            (level::SOL_SOCKET, so::RCVLOWAT | so::TXREHASH) | (level::SOL_IPV6, ipv6::AUTOFLOWLABEL) => 1,
            (level::SOL_SOCKET, so::REUSEADDR | so::REUSEPORT | so::KEEPALIVE)
            | (level::SOL_IP, ip::TOS)
            | (level::SOL_IPV6, ipv6::TCLASS)
            | (
                level::SOL_TCP,
                tcp::NODELAY
                | tcp::WINDOW_CLAMP
                | tcp::THIN_LINEAR_TIMEOUTS
                | tcp::USER_TIMEOUT
                | tcp::NOTSENT_LOWAT
                | tcp::SAVE_SYN
                | tcp::BPF_SOCK_OPS_CB_FLAGS,
            ) => 0,
            _ => return None,
        };
        Some(self.options.get((level, name)).unwrap_or(first))
    }
}

impl Options {
    fn get(&self, option: (i32, i32)) -> Option<i32> {
        self.values.get(&option).copied()
    }

    fn set(&mut self, option: (i32, i32), value: i32) {
        self.values.insert(option, value);
    }

    /// `net/core/filter.c: sol_tcp_sockopt_congestion`, v6.12. No module is loaded for it.
    fn set_congestion(&mut self, value: &[u8]) -> Result<(), Errno> {
        if value.len() < 2 {
            return Err(Errno::EINVAL);
        }
        let text = |bytes: &[u8]| bytes.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
        if value.len() >= 3 && text(value) == b"cdg" {
            return Err(Errno::ENOTSUPP);
        }
        let name = text(&value[..value.len().min(TCP_CA_NAME_MAX - 1)]);
        let known = CONGESTION.iter().find(|known| known.as_bytes() == name);
        self.congestion = Some(known.ok_or(Errno::ENOENT)?);
        Ok(())
    }
}
