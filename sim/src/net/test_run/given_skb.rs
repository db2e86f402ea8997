//! Programs over an skb that BPF_PROG_TEST_RUN refuses with `ENOTSUPP`: stream parsers and verdicts (sk_skb), whose packet
//! is a part of a TCP stream and whose context tells of the socket, and lwt_seg6local, whose packet is at its segment.

use super::skb::offset;
use super::{GivenRun, Stop, TestRun, TestRunOut, get_u32, put_u32};
use crate::bpf::fault::Fault;
use crate::bpf::machine::ProgId;
use crate::net::ctx;
use crate::net::kernel::Kernel;
use crate::net::run::Packet;
use crate::net::skb::{SkBuff, eth_p};
use crate::net::sock::{AF_INET, AF_INET6, Sock};
use crate::uapi::ProgType;
use crate::uapi::ctx::skb::{CB_LEN, FIELDS, SIZE, SkbField};

/// The longest packet.
const LONGEST: usize = 3712;
/// `ETH_HLEN`.
const ETH_HLEN: usize = 14;
/// `NET_SKB_PAD`: headers in front of a stream's bytes lie in it.
const TCP_IP_HEADERS: u32 = 40;

/// Fields of `struct __sk_buff` a caller may give an sk_skb program.
const STREAM: [SkbField; 14] = [
    SkbField::Len,
    SkbField::QueueMapping,
    SkbField::Priority,
    SkbField::IngressIfindex,
    SkbField::TcIndex,
    SkbField::Cb,
    SkbField::Hash,
    SkbField::Family,
    SkbField::RemoteIp4,
    SkbField::LocalIp4,
    SkbField::RemoteIp6,
    SkbField::LocalIp6,
    SkbField::RemotePort,
    SkbField::LocalPort,
];

/// Whether programs of this type run over an skb the caller gives.
pub const fn runs_given_skb(prog_type: ProgType) -> bool {
    matches!(prog_type, ProgType::SkSkb | ProgType::LwtSeg6local)
}

/// What ends a run early: the caller's mistake, or as any run.
enum End {
    Why(String),
    Stop(Stop),
}

impl Kernel {
    /// Runs a program of a type that [`runs_given_skb`].
    pub(super) fn run_given_skb(
        &mut self,
        prog: ProgId,
        run: &GivenRun<'_>,
    ) -> Result<Result<TestRunOut, String>, Box<Fault>> {
        let prog_type = self.machine.programs[prog.0 as usize].image().prog_type;
        let done = if prog_type == ProgType::SkSkb {
            self.run_stream(prog, run)
        } else {
            self.run_segment(prog, run)
        };
        match done {
            Ok(out) => Ok(Ok(out)),
            Err(End::Why(why)) => Ok(Err(why)),
            Err(End::Stop(Stop::Errno(errno))) => Ok(Err(format!("the run fails with {errno}"))),
            Err(End::Stop(Stop::Fault(fault))) => Err(fault),
        }
    }

    /// `net/core/skmsg.c: sk_psock_strp_parse, sk_psock_strp_read`, v6.12: the bytes are all in the linear part.
    fn run_stream(&mut self, prog: ProgId, run: &GivenRun<'_>) -> Result<TestRunOut, End> {
        let given = stream_context(run.ctx, run.data.len()).map_err(End::Why)?;
        let word = |field| get_u32(&given, offset(field));
        let mem = &mut self.machine.mem;
        let mut skb = SkBuff::new(mem, run.data);
        let family = word(SkbField::Family) as u16;
        let addresses = |v4, v6| match family {
            AF_INET6 => &given[offset(v6)..][..16],
            _ => &given[offset(v4)..][..4],
        };
        let local = addresses(SkbField::LocalIp4, SkbField::LocalIp6);
        let remote = addresses(SkbField::RemoteIp4, SkbField::RemoteIp6);
        let Some(mut sk) = Sock::dummy(mem, family, local, remote) else {
            return Err(End::Why("no guest memory is left".into()));
        };
        let guest = sk.guest;
        sk.remote_port = (word(SkbField::RemotePort) >> 16) as u16;
        sk.local_port = word(SkbField::LocalPort) as u16;
        sk.establish(mem);
        sk.cookie = self.env.next_cookie();
        skb.protocol = if family == AF_INET6 { eth_p::IPV6 } else { eth_p::IP };
        skb.network_header = skb.linear.data() - TCP_IP_HEADERS;
        skb.transport_header = (skb.linear.data() - TCP_IP_HEADERS / 2) as u16;
        skb.sk = Some(sk);
        skb.has_data_pointers = true;
        skb.priority = word(SkbField::Priority);
        skb.skb_iif = word(SkbField::IngressIfindex);
        skb.tc_index = word(SkbField::TcIndex) as u16;
        skb.hash = word(SkbField::Hash);
        skb.queue_mapping = word(SkbField::QueueMapping) as u16;
        skb.cb.copy_from_slice(&given[offset(SkbField::Cb)..][..CB_LEN]);
        let done = self.run_repeatedly(prog, Packet::Skb(Box::new(skb)), run.repeat);
        self.machine.mem.free(guest);
        let (retval, packet) = done.map_err(End::Stop)?;
        let Packet::Skb(skb) = packet else { unreachable!("a packet stays what it is") };
        let data = skb.linear.bytes(&self.machine.mem).to_vec();
        let mut out = given;
        for field in FIELDS.iter().filter(|field| STREAM.contains(&field.key)) {
            for at in (field.offset..field.offset + field.size).step_by(4) {
                let value = ctx::skb::load(&skb, ProgType::SkSkb, at, 4).expect("it may be read");
                put_u32(&mut out, at as usize, value as u32);
            }
        }
        Ok(TestRunOut {
            retval,
            data_size: data.len() as u32,
            data,
            ctx_size: out.len() as u32,
            ctx: out,
            no_space: false,
        })
    }

    /// `net/ipv6/seg6_local.c: input_action_end_bpf`, v6.12: the packet of a test run of lwt_in, once the header was found
    /// valid and its next segment made the destination. What becomes of it afterwards is not looked at.
    fn run_segment(&mut self, prog: ProgId, run: &GivenRun<'_>) -> Result<TestRunOut, End> {
        if run.data.len() < ETH_HLEN + 40 || run.data.len() > LONGEST || run.data[12..14] != [0x86, 0xdd] {
            let why = "a lwt_seg6local program is for an IPv6 packet behind an Ethernet header";
            return Err(End::Why(why.into()));
        }
        let test = TestRun { data_in: run.data, ctx_in: run.ctx, repeat: run.repeat, ..TestRun::default() };
        self.test_run_skb(prog, &test).map_err(|stop| match stop {
            Stop::Errno(errno) => End::Why(format!("the packet or its context is refused with {errno}")),
            Stop::Fault(fault) => End::Stop(Stop::Fault(fault)),
        })
    }
}

/// The caller's `struct __sk_buff`, zero-extended, with `len` bytes beside it.
fn stream_context(ctx: &[u8], len: usize) -> Result<Vec<u8>, String> {
    if len == 0 || len > LONGEST {
        return Err(format!("{len} bytes of a stream; 1 to {LONGEST} are modelled"));
    }
    if ctx.len() > SIZE as usize {
        return Err(format!("struct __sk_buff has {SIZE} bytes, {} are given", ctx.len()));
    }
    let mut given = ctx.to_vec();
    given.resize(SIZE as usize, 0);
    let mut rest = given.clone();
    for field in FIELDS.iter().filter(|field| STREAM.contains(&field.key)) {
        rest[field.offset as usize..(field.offset + field.size) as usize].fill(0);
    }
    if let Some(at) = rest.iter().position(|&byte| byte != 0) {
        let field = FIELDS.iter().find(|f| (f.offset..f.offset + f.size).contains(&(at as u32)));
        let name = field.map_or("that place", |field| field.name);
        return Err(format!("__sk_buff.{name} is not given to sk_skb programs"));
    }
    let word = |field| get_u32(&given, offset(field));
    for (field, name, bits) in [
        (SkbField::Family, "family", 0xffff),
        (SkbField::QueueMapping, "queue_mapping", 0xffff),
        (SkbField::TcIndex, "tc_index", 0xffff),
        (SkbField::RemotePort, "remote_port", 0xffff_0000),
        (SkbField::LocalPort, "local_port", 0xffff),
    ] {
        if word(field) & !bits != 0 {
            return Err(format!("__sk_buff.{name} has bits no kernel has there"));
        }
    }
    match word(SkbField::Len) {
        given if given == 0 || given as usize == len => {}
        given => return Err(format!("__sk_buff.len is {given}, and {len} bytes of data are given")),
    }
    // A socket that says nothing of its family is one of IPv4.
    if word(SkbField::Family) == 0 {
        put_u32(&mut given, offset(SkbField::Family), AF_INET.into());
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::assemble;
    use crate::bpf::program::{Image, Program};
    use crate::net::{Config, TestRun};
    use crate::uapi::{AttachType, Errno};

    fn run(prog_type: ProgType, text: &str, ctx: &[u8], data: &[u8]) -> Result<TestRunOut, String> {
        let mut kernel = Kernel::new(&Config::default());
        let code = assemble(text).unwrap();
        let image = Image {
            name: "main".into(),
            prog_type,
            attach_type: (prog_type == ProgType::SkSkb).then_some(AttachType::SkSkbStreamVerdict),
            license_gpl: true,
            xdp_has_frags: false,
            slots: code.slots,
            functions: code.functions,
            lines: Vec::new(),
            maps: Vec::new(),
        };
        let prog = kernel.machine.add_program(Program::new(image).unwrap());
        assert_eq!(kernel.prog_test_run(prog, &TestRun::default()), Ok(Err(Errno::ENOTSUPP)));
        match kernel.run_given(prog, &GivenRun { ctx, data, repeat: 1, ..GivenRun::default() }) {
            Ok(out) => out,
            Err(fault) => Err(format!("fault: {}", fault.kind)),
        }
    }

    #[test]
    fn a_stream_tells_of_its_socket_and_is_cut() {
        let mut ctx = [0; 192];
        ctx[88] = 2;
        ctx[92..96].copy_from_slice(&[10, 0, 0, 1]);
        ctx[134..136].copy_from_slice(&[0x1f, 0x90]);
        ctx[136] = 80;
        // The remote port and the state; two bytes in front go, three come.
        let text = "r6 = r1; r7 = *(u32 *)(r6 +132); r7 >>= 16; r2 = *(u64 *)(r6 +168); r0 = *(u32 *)(r2 +72); r7 += r0
                    r1 = r6; r2 = -2; r3 = 0; r4 = 0; call 50; r1 = r6; r2 = 3; r3 = 0; r4 = 0; call 50
                    r1 = *(u32 *)(r6 +76); r2 = *(u32 *)(r6 +80); r3 = r1; r3 += 3; if r3 > r2 goto +1; *(u8 *)(r1 +0) = 7
                    *(u32 *)(r6 +32) = 9; r0 = r7; exit";
        let out = run(ProgType::SkSkb, text, &ctx, b"abcdef").unwrap();
        assert_eq!((out.retval, out.data.as_slice()), (0x901f + 1, &b"\x07\0\0cdef"[..]));
        assert_eq!((out.ctx[0], out.ctx[32], out.ctx[134]), (7, 9, 0x1f));
        assert!(
            run(ProgType::SkSkb, "r0 = *(u32 *)(r1 +8); exit", &ctx, b"a")
                .unwrap_err()
                .contains("may not read")
        );
        assert!(
            run(ProgType::SkSkb, "r0 = 1; exit", &[0, 0, 0, 0, 0, 0, 0, 0, 1], b"a")
                .unwrap_err()
                .contains(".mark is not given")
        );
        assert!(run(ProgType::SkSkb, "r0 = 1; exit", &[], b"").unwrap_err().contains("0 bytes"));
    }

    /// Ethernet, IPv6, a segment routing header with two segments of which one is left, a TLV of eight bytes.
    fn packet() -> Vec<u8> {
        let mut data = vec![0; 12];
        data.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 48, 43, 64]);
        data.extend([[0xfd; 16], [0xee; 16]].concat());
        data.extend([59, 5, 4, 1, 1, 0, 0, 0]);
        data.extend([[0xf0; 16], [0xf1; 16]].concat());
        data.extend([4, 6, 0, 0, 0, 0, 0, 0]);
        data
    }

    #[test]
    fn a_segment_ends_and_its_header_grows() {
        let kind = ProgType::LwtSeg6local;
        let done = run(kind, "r0 = 0; exit", &[], &packet()).unwrap();
        // The last segment is the destination, and none is left.
        assert_eq!((&done.data[38..54], done.data[57]), (&[0xf0; 16][..], 0));
        let mut used = packet();
        used[57] = 0;
        assert!(run(kind, "r0 = 0; exit", &[], &used).unwrap_err().contains("EINVAL"));
        // Eight bytes more at the end, a TLV in them, and its first byte is stored before the header is valid again.
        let text = "r6 = r1; r2 = 88; r3 = 8; call 75; r7 = r0
                    *(u64 *)(r10 -8) = 0; *(u16 *)(r10 -8) = 0x0604; r1 = r6; r2 = 88; r3 = r10; r3 += -8; r4 = 8; call 74; r7 |= r0
                    *(u32 *)(r10 -8) = 0; r1 = r6; r2 = 3; r3 = r10; r3 += -8; r4 = 4; call 76; r0 += 200; r0 += r7; exit";
        let out = run(kind, text, &[], &packet()).unwrap();
        // There is no route, and `ENETUNREACH` says so.
        assert_eq!(out.retval, 200 - 101);
        assert_eq!(
            (out.data.len(), out.data[55], &out.data[18..20], out.data[102]),
            (110, 6, &[0, 56][..], 4)
        );
        // Segments may not be written, flags and tag may.
        let store = |at: u32| {
            format!("*(u64 *)(r10 -8) = 1; r2 = {at}; r3 = r10; r3 += -8; r4 = 1; call 74; r0 = -r0; exit")
        };
        for (at, errno) in
            [(39, 14), (44, 14), (45, 0), (47, 0), (48, 14), (79, 14), (80, 0), (87, 0), (88, 14)]
        {
            // The kernel forgets the first eight bytes when it looks for the end of the segments.
            let errno = if (72..80).contains(&at) { 0 } else { errno };
            assert_eq!(run(kind, &store(at), &[], &packet()).unwrap().retval, errno, "{at}");
        }
        assert!(run(kind, "r2 = 0; call 39; exit", &[], &packet()).unwrap_err().contains("has no helper"));
    }
}
