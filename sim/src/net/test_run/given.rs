//! Programs BPF_PROG_TEST_RUN does not know (it answers `ENOTSUPP`), run over a context the caller gives: cgroup/sock,
//! sock_addr, sockopt, sysctl and device, sock_ops, sk_msg, sk_reuseport, sk_skb, lwt_seg6local. No kernel says what comes of such a run; each
//! access, each helper and the range of the return value are the kernel's all the same.

use super::given_skb::runs_given_skb;
use super::{Stop, TestRunOut};
use crate::bpf::fault::Fault;
use crate::bpf::machine::ProgId;
use crate::net::env::Env;
use crate::net::given::Given;
use crate::net::kernel::Kernel;
use crate::net::run::Packet;
use crate::uapi::ProgType;
use crate::uapi::ctx::given::context;

/// What a program without a test run is run over.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GivenRun<'a> {
    /// The UAPI struct, zero-extended: `struct bpf_sock_addr`, `struct bpf_sock_ops`, and so on. Pointers are 0.
    pub ctx: &'a [u8],
    /// The bytes its pointers point at: a message, a segment from its transport header on, an option's value. Of a
    /// cgroup/sysctl program the path below `/proc/sys`, what reading gives, and what is written, with a NUL between each
    /// two.
    pub data: &'a [u8],
    /// How often it runs, 0 for once, each time over what the last one left.
    pub repeat: u32,
    /// Of an sk_reuseport program, the group it chooses from: sockets' `reuseport_id`; 0: one without sockets in maps.
    pub reuseport_id: u32,
}

/// Whether programs of this type run over a context the caller gives.
pub const fn runs_given(prog_type: ProgType) -> bool {
    runs_given_skb(prog_type) || context(prog_type).is_some()
}

impl Kernel {
    /// Runs a program of a type that [`runs_given`]: `ctx` and `data` of the outcome are what the program left.
    ///
    /// The outer error is a fault of the program's; the inner one says what of the context no kernel could give.
    pub fn run_given(
        &mut self,
        prog: ProgId,
        run: &GivenRun<'_>,
    ) -> Result<Result<TestRunOut, String>, Box<Fault>> {
        let image = self.machine.programs[prog.0 as usize].image();
        let types = (image.prog_type, image.attach_type);
        if runs_given_skb(types.0) {
            let done = self.run_given_skb(prog, run);
            self.env.clock_ns += Env::RUN_NS;
            return done;
        }
        let Some(context) = context(types.0) else {
            return Ok(Err(format!("a {} is not run over a context that is given", types.0)));
        };
        let given = Given::new(&mut self.machine.mem, types, context, run.ctx, run.data);
        let mut given = match given {
            Ok(given) => given,
            Err(why) => return Ok(Err(why)),
        };
        let cookie = self.env.next_cookie();
        given.cookie = cookie;
        given.reuseport_id = run.reuseport_id;
        let sk = given.sk;
        let done = self.run_repeatedly(prog, Packet::Given(Box::new(given)), run.repeat);
        self.env.clock_ns += Env::RUN_NS;
        self.machine.maps.forget_socket(cookie);
        if let Some(sk) = sk {
            self.machine.mem.free(sk);
        }
        match done {
            Ok((retval, packet)) => {
                let Packet::Given(mut given) = packet else { unreachable!("a context stays what it is") };
                let mem = &self.machine.mem;
                let data = match given.linear.as_ref() {
                    None if types.0 == ProgType::CgroupSysctl => given.sysctl.to_data(),
                    Some(linear) if types.0 == ProgType::SkMsg => given.message.bytes(mem, linear),
                    Some(linear) => linear.bytes(mem).to_vec(),
                    None => Vec::new(),
                };
                Ok(Ok(TestRunOut {
                    retval,
                    data_size: data.len() as u32,
                    data,
                    ctx_size: given.bytes.len() as u32,
                    ctx: given.bytes,
                    no_space: false,
                }))
            }
            Err(Stop::Fault(fault)) => Err(fault),
            Err(Stop::Errno(errno)) => Ok(Err(format!("the run fails with {errno}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bpf::asm::assemble;
    use crate::bpf::program::{Image, Program};
    use crate::net::{Config, TestRun};
    use crate::uapi::{AttachType, Errno};

    fn run(types: (ProgType, AttachType), text: &str, ctx: &[u8], data: &[u8]) -> Result<TestRunOut, String> {
        let mut kernel = Kernel::new(&Config::default());
        let code = assemble(text).unwrap();
        let image = Image {
            name: "main".into(),
            prog_type: types.0,
            attach_type: Some(types.1),
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

    const CONNECT4: (ProgType, AttachType) = (ProgType::CgroupSockAddr, AttachType::CgroupInet4Connect);

    #[test]
    fn a_connect_is_sent_elsewhere() {
        let mut ctx = [0; 72];
        ctx[0] = 2;
        ctx[4..8].copy_from_slice(&[10, 0, 0, 1]);
        ctx[24..26].copy_from_slice(&[0, 80]);
        ctx[28] = 2;
        let text = "r6 = r1; *(u32 *)(r6 +4) = 0x0100007f; r2 = 0x1234901f; *(u32 *)(r6 +24) = r2
                    r2 = *(u64 *)(r6 +64); r0 = *(u32 *)(r2 +4); r0 >>= 1; exit";
        let out = run(CONNECT4, text, &ctx, &[]).unwrap();
        assert_eq!(
            (out.retval, &out.ctx[4..8], &out.ctx[24..28]),
            (1, &[127, 0, 0, 1][..], &[0x1f, 0x90, 0, 0][..])
        );
    }

    #[test]
    fn attach_types_bound_fields_helpers_and_answers() {
        let fault = |types, text| run(types, text, &[], &[]).unwrap_err();
        assert!(fault(CONNECT4, "r0 = *(u32 *)(r1 +8); exit").contains("this attach type may not"));
        assert!(
            fault(CONNECT4, "r0 = 2; exit").contains("returns 2, and such a program may return 0 to 1 only")
        );
        let peer = (ProgType::CgroupSockAddr, AttachType::CgroupInet4Getpeername);
        assert!(fault(peer, "r0 = 0; exit").contains("1 to 1 only"));
        assert!(
            fault(peer, "call 186; r0 = 1; exit").contains("bpf_get_retval is not for programs attached as")
        );
        let setsockopt = (ProgType::CgroupSockopt, AttachType::CgroupSetsockopt);
        assert!(
            fault(setsockopt, "r0 = *(u32 *)(r1 +36); r0 = 1; exit").contains("this attach type may not")
        );
    }

    #[test]
    fn an_options_value_is_written_and_its_answer_changed() {
        let kind = (ProgType::CgroupSockopt, AttachType::CgroupGetsockopt);
        let mut ctx = [0; 40];
        ctx[36..40].copy_from_slice(&(-22i32).to_le_bytes());
        let text = "r6 = r1; call 186; r7 = r0; r2 = *(u64 *)(r6 +8); r3 = *(u64 *)(r6 +16); r4 = r2; r4 += 4
                    r0 = 0; if r4 > r3 goto +5; *(u32 *)(r2 +0) = r7; *(u32 *)(r6 +32) = 4; *(u32 *)(r6 +36) = 0
                    r0 = 1; exit; exit";
        let out = run(kind, text, &ctx, &[0; 8]).unwrap();
        assert_eq!(out.data, [0xea, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        assert_eq!((out.retval, &out.ctx[32..]), (1, &[4, 0, 0, 0, 0, 0, 0, 0][..]));
    }

    #[test]
    fn a_request_socket_has_no_tcp_fields() {
        let kind = (ProgType::SockOps, AttachType::CgroupSockOps);
        let mut ctx = [0; 224];
        ctx[76] = 10;
        let text = "r6 = r1; r0 = *(u32 *)(r6 +76); r1 = *(u64 *)(r6 +184); if r1 == 0 goto +1; r0 += 1
                    r0 >>= 3; r0 &= 1; exit";
        assert_eq!(run(kind, text, &ctx, &[]).unwrap().retval, 0);
        ctx[72] = 1;
        assert_eq!(run(kind, text, &ctx, &[]).unwrap().retval, 1);
    }

    #[test]
    fn header_options_are_stored_behind_the_others() {
        let kind = (ProgType::SockOps, AttachType::CgroupSockOps);
        let mut ctx = [0; 224];
        (ctx[0], ctx[72]) = (15, 1);
        let text =
            "*(u32 *)(r10 -8) = 0x00aa04fe; *(u32 *)(r10 -4) = 0; r6 = r1; r2 = r10; r2 += -8; r3 = 4; r4 = 0
                    call 143; r7 = r0; r1 = r6; r2 = r10; r2 += -8; r3 = 4; r4 = 0; call 143; r7 += r0
                    r0 = 0; if r7 != -17 goto +1; r0 = 1; exit";
        let mut segment = [0; 20];
        segment[12] = 0x50;
        let out = run(kind, text, &ctx, &segment).unwrap();
        assert_eq!((out.retval, out.data.len(), &out.data[20..]), (1, 24, &[0xfe, 4, 0xaa, 0][..]));
    }

    #[test]
    fn a_message_is_pulled_and_cut() {
        let kind = (ProgType::SkMsg, AttachType::SkMsgVerdict);
        // bpf_msg_pop_data(msg, 1, 2, 0), then the first byte and the size.
        let text = "r6 = r1; r2 = 1; r3 = 2; r4 = 0; call 91; r0 = *(u32 *)(r6 +68); r2 = *(u64 *)(r6 +0)
                    r3 = *(u64 *)(r6 +8); r4 = r2; r4 += 1; if r4 > r3 goto +2; r1 = *(u8 *)(r2 +0); r0 += r1; exit";
        let out = run(kind, text, &[], b"abcdef").unwrap();
        assert_eq!((out.retval, out.data.as_slice()), (4 + u32::from(b'a'), &b"adef"[..]));
        assert_eq!(out.ctx[68], 4);
    }

    #[test]
    fn datagrams_of_a_shared_port_are_loaded_from_their_header_on() {
        let kind = (ProgType::SkReuseport, AttachType::SkReuseportSelect);
        let load = |at: u32, len: u32| {
            format!(
                "*(u64 *)(r10 -8) = -1; r2 = {at}; r3 = r10; r3 += -8; r4 = {len}; call 26; r1 = *(u8 *)(r10 -8)
                 r0 = -r0; r0 <<= 8; r0 |= r1; exit"
            )
        };
        for (at, len, want) in [(0, 1, 7), (2, 2, 9), (3, 1, 1), (3, 2, 14 << 8), (u32::MAX >> 1, 1, 14 << 8)]
        {
            assert_eq!(run(kind, &load(at, len), &[], &[7, 8, 9, 1]).unwrap().retval, want, "{at} {len}");
        }
    }

    #[test]
    fn only_some_may_write_packets() {
        let text = "r2 = *(u64 *)(r1 +0); r3 = *(u64 *)(r1 +8); r4 = r2; r4 += 1; r0 = 0; if r4 > r3 goto +2
                    *(u8 *)(r2 +0) = 1; r0 = 1; exit";
        let reuseport = (ProgType::SkReuseport, AttachType::SkReuseportSelect);
        assert!(run(reuseport, text, &[], &[0; 8]).unwrap_err().contains("read-only"));
        assert_eq!(run((ProgType::SkMsg, AttachType::SkMsgVerdict), text, &[], &[0; 8]).unwrap().retval, 1);
    }
}
