//! What programs run over whose context the caller gives: a UAPI struct, bytes of data, and the socket they tell of.

use crate::bpf::mem::ObjectKind;
use crate::bpf::{Access, Addr, Memory};
use crate::net::linear::Linear;
use crate::net::sk_msg::{LONGEST, Message};
use crate::net::sock::{AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, TCP_CLOSE, TCP_ESTABLISHED};
use crate::net::sockopt::Options;
use crate::net::sysctl::Sysctl;
use crate::uapi::ctx::given::{Context, Part};
use crate::uapi::ctx::{bpf_sock, sk_reuseport, sock_ops, sockopt};
use crate::uapi::{AttachType, ProgType};

/// `SOCK_DGRAM`.
const SOCK_DGRAM: u32 = 2;
/// `IPPROTO_UDP`.
const IPPROTO_UDP: u32 = 17;
/// `MAX_TCP_OPTION_SPACE`.
const MAX_TCP_OPTION_SPACE: u32 = 40;
/// `sizeof(struct tcphdr)`.
const TCPHDR: u32 = 20;
/// `htons(ETH_P_IPV6)`.
const ETH_P_IPV6_BE: u32 = 0xdd86;

/// A context that was given, and what belongs to it.
#[derive(Debug)]
pub struct Given {
    /// Which struct it is.
    pub context: &'static Context,
    /// The program's type.
    pub prog_type: ProgType,
    /// Its attach type; `None`: the first there is.
    pub attach_type: Option<AttachType>,
    /// The struct as it stands; zero where it holds pointers.
    pub bytes: Vec<u8>,
    /// The data; `None`: there are none, and pointers to them are NULL.
    pub linear: Option<Linear>,
    /// The message of an sk_msg program, of which `linear` is what it sees.
    pub message: Message,
    /// `remaining_opt_len`: bytes of TCP options that may still be reserved or written.
    pub option_room: u32,
    /// The guest's `struct bpf_sock *`; `None` where the struct has none.
    pub sk: Option<Addr>,
    /// `sock_gen_cookie`.
    pub cookie: u64,
    /// `reuse_kern.reuseport_id`: the group of the sk_reuseport program; 0: one that no other socket is in.
    pub reuseport_id: u32,
    /// The cookie of the socket that it selected.
    pub selected: Option<u64>,
    /// Options set on the socket.
    pub options: Options,
    /// The file a cgroup/sysctl program is asked about.
    pub sysctl: Sysctl,
    /// `bpf_cg_run_ctx.retval`: what the system call will answer.
    retval: i32,
}

impl Given {
    /// Lays out a context. The error says which bytes no kernel has there.
    pub fn new(
        mem: &mut Memory,
        (prog_type, attach_type): (ProgType, Option<AttachType>),
        context: &'static Context,
        ctx: &[u8],
        data: &[u8],
    ) -> Result<Self, String> {
        let bytes = checked(context, ctx, data.len() as u32)?;
        let mut given = Self {
            context,
            prog_type,
            attach_type,
            bytes,
            linear: None,
            message: Message::new(data),
            option_room: 0,
            sk: None,
            cookie: 0,
            reuseport_id: 0,
            selected: None,
            options: Options::default(),
            sysctl: Sysctl::default(),
            retval: 0,
        };
        let has_data = context.fields.iter().any(|field| field.key == Part::Data);
        if data.len() > LONGEST {
            return Err(format!("{} bytes of data; more than {LONGEST} are not modelled", data.len()));
        }
        if prog_type == ProgType::CgroupSysctl {
            given.sysctl = Sysctl::from_data(data)?;
        } else if !has_data && !data.is_empty() {
            return Err(format!("there are no data beside a struct {}", context.name));
        }
        // Only a sock_ops program may be without an skb.
        if has_data && !(prog_type == ProgType::SockOps && data.is_empty()) {
            let options = (data.len() as u32).saturating_sub(TCPHDR);
            given.option_room = MAX_TCP_OPTION_SPACE.saturating_sub(options);
            given.linear = Some(Linear::new(mem, 0, data, MAX_TCP_OPTION_SPACE));
        } else {
            given.option_room = MAX_TCP_OPTION_SPACE;
        }
        if context.fields.iter().any(|field| matches!(field.key, Part::Sk | Part::FullSk)) {
            let view = given.sock_view();
            let sk = mem
                .alloc(ObjectKind::Helper("socket"), Access::Read, bpf_sock::SIZE)
                .ok_or("no guest memory is left")?;
            mem.raw_mut(sk, view.len()).copy_from_slice(&view);
            given.sk = Some(sk);
        }
        Ok(given)
    }

    /// The word at `offset` of the struct.
    pub fn word(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.bytes[offset..offset + 4].try_into().expect("4 bytes"))
    }

    /// Overwrites the word at `offset` of the struct.
    pub fn set_word(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Whether the socket is a full one; only a sock_ops program may see another.
    pub fn is_fullsock(&self) -> bool {
        self.prog_type != ProgType::SockOps || self.word(sock_ops::IS_FULLSOCK) != 0
    }

    /// `bpf_cg_run_ctx.retval`, which a getsockopt program sees as its context's `retval`.
    pub fn retval(&self) -> i32 {
        if self.prog_type == ProgType::CgroupSockopt {
            self.word(sockopt::RETVAL) as i32
        } else {
            self.retval
        }
    }

    /// Overwrites it.
    pub fn set_retval(&mut self, retval: i32) {
        if self.prog_type == ProgType::CgroupSockopt {
            self.set_word(sockopt::RETVAL, retval as u32);
        } else {
            self.retval = retval;
        }
    }

    /// How many data there are, in the struct's field for that.
    pub fn set_len(&mut self, len: u32) {
        if let Some(field) = self.context.fields.iter().find(|field| field.key == Part::Len) {
            self.set_word(field.offset as usize, len);
        }
    }

    /// The socket's `struct bpf_sock`: what the context tells of it. Where a context tells nothing, it is a TCP socket over
    /// IPv4 in no connection.
    fn sock_view(&self) -> Vec<u8> {
        let mut view = vec![0; bpf_sock::SIZE as usize];
        let mut put =
            |offset: usize, value: u32| view[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        put(bpf_sock::FAMILY, AF_INET.into());
        put(bpf_sock::TYPE, SOCK_STREAM);
        put(bpf_sock::PROTOCOL, IPPROTO_TCP);
        put(bpf_sock::STATE, TCP_CLOSE);
        put(bpf_sock::RX_QUEUE_MAPPING, u32::MAX);
        if self.prog_type == ProgType::SkMsg {
            put(bpf_sock::STATE, TCP_ESTABLISHED);
        }
        if self.prog_type == ProgType::SkReuseport {
            let protocol = self.word(sk_reuseport::IP_PROTOCOL);
            let v6 = self.word(sk_reuseport::ETH_PROTOCOL) == ETH_P_IPV6_BE;
            put(bpf_sock::FAMILY, if v6 { AF_INET6.into() } else { AF_INET.into() });
            put(bpf_sock::PROTOCOL, protocol);
            put(bpf_sock::TYPE, if protocol == IPPROTO_UDP { SOCK_DGRAM } else { SOCK_STREAM });
        }
        for field in self.context.fields {
            let (at, value) = (field.offset as usize, self.word(field.offset as usize));
            match field.name {
                "family" => put(bpf_sock::FAMILY, value),
                "type" => put(bpf_sock::TYPE, value),
                "protocol" => put(bpf_sock::PROTOCOL, value),
                "state" => put(bpf_sock::STATE, value),
                "local_ip4" => put(bpf_sock::SRC_IP4, value),
                "remote_ip4" => put(bpf_sock::DST_IP4, value),
                "local_ip6" => (0..4).for_each(|i| put(bpf_sock::SRC_IP6 + 4 * i, self.word(at + 4 * i))),
                "remote_ip6" => (0..4).for_each(|i| put(bpf_sock::DST_IP6 + 4 * i, self.word(at + 4 * i))),
                "local_port" => put(bpf_sock::SRC_PORT, value),
                "remote_port" => put(bpf_sock::DST_PORT, value >> 16),
                _ => {}
            }
        }
        view
    }
}

/// The caller's struct, zero-extended, with `len` data beside it.
fn checked(context: &'static Context, ctx: &[u8], len: u32) -> Result<Vec<u8>, String> {
    let name = context.name;
    if ctx.len() > context.size as usize {
        return Err(format!("struct {name} has {} bytes, {} are given", context.size, ctx.len()));
    }
    let mut bytes = ctx.to_vec();
    bytes.resize(context.size as usize, 0);
    let mut rest = bytes.clone();
    for field in context.fields {
        let range = field.offset as usize..(field.offset + field.size) as usize;
        let Some(bits) = field.key.bits() else {
            if rest[range].iter().any(|&byte| byte != 0) {
                return Err(format!("{name}.{} is a pointer, which nobody can give", field.name));
            }
            continue;
        };
        let mask = bits.to_le_bytes();
        if rest[range.clone()].iter().enumerate().any(|(i, byte)| byte & !mask[i % 4] != 0) {
            return Err(format!("{name}.{} has bits no kernel has there", field.name));
        }
        rest[range.clone()].fill(0);
        if field.key == Part::Len {
            match u32::from_le_bytes(bytes[range.clone()].try_into().expect("4 bytes")) {
                0 => bytes[range].copy_from_slice(&len.to_le_bytes()),
                given if given == len => {}
                given => {
                    return Err(format!(
                        "{name}.{} is {given}, and {len} bytes of data are given",
                        field.name
                    ));
                }
            }
        }
    }
    match rest.iter().position(|&byte| byte != 0) {
        Some(at) => Err(format!("struct {name} has no field at offset {at}")),
        None => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::uapi::ctx::given::context;

    fn given(prog_type: ProgType, ctx: &[u8], data: &[u8]) -> Result<Given, String> {
        Given::new(&mut Memory::new(), (prog_type, None), context(prog_type).unwrap(), ctx, data)
    }

    #[test]
    fn what_no_kernel_has_is_refused_by_name() {
        let mut ctx = [0; 224];
        ctx[64] = 1;
        let why = given(ProgType::SockOps, &ctx, &[]).unwrap_err();
        assert_eq!(why, "bpf_sock_ops.remote_port has bits no kernel has there");
        let mut ctx = [0; 72];
        ctx[64] = 1;
        let why = given(ProgType::CgroupSockAddr, &ctx, &[]).unwrap_err();
        assert_eq!(why, "bpf_sock_addr.sk is a pointer, which nobody can give");
        ctx = [0; 72];
        ctx[60] = 1;
        let why = given(ProgType::CgroupSockAddr, &ctx, &[]).unwrap_err();
        assert_eq!(why, "struct bpf_sock_addr has no field at offset 60");
        assert!(given(ProgType::CgroupDevice, &[], &[1]).unwrap_err().contains("no data beside"));
        assert!(given(ProgType::SkMsg, &[0; 81], &[1]).unwrap_err().contains("has 80 bytes"));
    }
}
