//! Sockets, as far as programs see them.

use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Memory};
use crate::uapi::ctx::bpf_sock;

/// `AF_UNIX`.
pub const AF_UNIX: u16 = 1;
/// `AF_INET`.
pub const AF_INET: u16 = 2;
/// `AF_INET6`.
pub const AF_INET6: u16 = 10;
/// `SOCK_STREAM`.
pub const SOCK_STREAM: u32 = 1;
/// `IPPROTO_TCP`.
pub const IPPROTO_TCP: u32 = 6;
/// `TCP_ESTABLISHED`.
pub const TCP_ESTABLISHED: u32 = 1;
/// `TCP_CLOSE`: a socket that is in no connection.
pub const TCP_CLOSE: u32 = 7;

/// A socket and the `struct bpf_sock` a program may read of it.
#[derive(Clone, PartialEq, Debug)]
pub struct Sock {
    /// The guest's pointer.
    pub guest: Addr,
    /// `sk_family`.
    pub family: u16,
    /// `sk_rcv_saddr`, network byte order in memory.
    pub saddr4: u32,
    /// `sk_daddr`, likewise.
    pub daddr4: u32,
    /// `sk_v6_rcv_saddr`, likewise.
    pub saddr6: [u32; 4],
    /// `sk_v6_daddr`, likewise.
    pub daddr6: [u32; 4],
    /// `skc_dport`, network byte order in memory.
    pub remote_port: u16,
    /// `skc_num`, a number.
    pub local_port: u16,
    /// `sock_gen_cookie`.
    pub cookie: u64,
}

impl Sock {
    /// The socket BPF_PROG_TEST_RUN gives a packet: full, closed, of no type, with the packet's addresses
    /// (`net/bpf/test_run.c: bpf_prog_test_run_skb`, v6.12). `None`: no guest memory is left.
    pub fn dummy(mem: &mut Memory, family: u16, src: &[u8], dst: &[u8]) -> Option<Self> {
        let guest = mem.alloc(ObjectKind::Helper("socket"), Access::Read, bpf_sock::SIZE)?;
        let word = |bytes: &[u8], i: usize| {
            bytes.get(i * 4..i * 4 + 4).map_or(0, |b| u32::from_le_bytes(b.try_into().expect("4 bytes")))
        };
        let words = |bytes: &[u8]| [0, 1, 2, 3].map(|i| word(bytes, i));
        let (v4, v6) = (family == AF_INET, family == AF_INET6);
        let sock = Self {
            guest,
            family,
            saddr4: if v4 { word(src, 0) } else { 0 },
            daddr4: if v4 { word(dst, 0) } else { 0 },
            saddr6: if v6 { words(src) } else { [0; 4] },
            daddr6: if v6 { words(dst) } else { [0; 4] },
            remote_port: 0,
            local_port: 0,
            cookie: 0,
        };
        let out = mem.raw_mut(guest, bpf_sock::SIZE as usize);
        let mut put =
            |offset: usize, value: u32| out[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        put(bpf_sock::FAMILY, u32::from(family));
        put(bpf_sock::SRC_IP4, sock.saddr4);
        put(bpf_sock::DST_IP4, sock.daddr4);
        for i in 0..4 {
            put(bpf_sock::SRC_IP6 + i * 4, sock.saddr6[i]);
            put(bpf_sock::DST_IP6 + i * 4, sock.daddr6[i]);
        }
        put(bpf_sock::STATE, TCP_CLOSE);
        put(bpf_sock::RX_QUEUE_MAPPING, u32::MAX);
        Some(sock)
    }

    /// Makes it a TCP socket in a connection, with its ports.
    pub fn establish(&self, mem: &mut Memory) {
        let out = mem.raw_mut(self.guest, bpf_sock::SIZE as usize);
        let mut put =
            |offset: usize, value: u32| out[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        put(bpf_sock::TYPE, SOCK_STREAM);
        put(bpf_sock::PROTOCOL, IPPROTO_TCP);
        put(bpf_sock::STATE, TCP_ESTABLISHED);
        put(bpf_sock::SRC_PORT, self.local_port.into());
        put(bpf_sock::DST_PORT, self.remote_port.into());
    }
}
