//! Maps of sockets, storage and user ring buffers as programs use them, where no kernel runs the program on demand.

use crate::bpf::asm::assemble;
use crate::bpf::fault::FaultKind;
use crate::bpf::load::HelperUse;
use crate::bpf::map::{MapId, MapSpec, Reference, SocketRef};
use crate::bpf::program::{Image, Program};
use crate::net::helper::check_maps;
use crate::net::{Config, GivenRun, Kernel, Socket, TestRun};
use crate::uapi::ctx::sock_ops::{IS_FULLSOCK, OP};
use crate::uapi::{Errno, MapType, ProgType};

const AF_INET: u16 = 2;
const AF_UNIX: u16 = 1;
const SOCK_STREAM: u32 = 1;
const SOCK_DGRAM: u32 = 2;
const TCP: u16 = 6;
const UDP: u16 = 17;
const ESTABLISHED: u32 = 1;
const LISTEN: u32 = 10;

struct Bench {
    kernel: Kernel,
    map: MapId,
}

impl Bench {
    fn new(map_type: MapType, key_size: u32, value_size: u32, max_entries: u32) -> Self {
        let mut kernel = Kernel::new(&Config::default());
        let spec = MapSpec {
            name: "map".into(),
            map_type,
            key_size,
            value_size,
            max_entries,
            flags: 0,
            extra: 0,
            inner: None,
            pinning: 0,
            key_type: 0,
            value_type: 0,
            fields: Vec::new(),
        };
        let (maps, mut ctx) = kernel.machine.maps();
        let map = maps.create(&mut ctx, &spec).unwrap();
        Self { kernel, map }
    }

    fn put(&mut self, key: u32, socket: &Socket) -> SocketRef {
        let socket = self.kernel.add_socket(socket).unwrap();
        let reference = Reference::Socket(socket);
        self.kernel.machine.maps.sys_update_reference(self.map, &key.to_le_bytes(), reference, 0).unwrap();
        socket
    }

    fn program(&mut self, prog_type: ProgType, text: &str) -> crate::bpf::machine::ProgId {
        let mut code = assemble(text).unwrap();
        code.define("map", 0, self.map.handle());
        for function in code.functions.clone() {
            code.define(&function.name, 0, crate::bpf::program::function_addr(function.start_slot));
        }
        let image = Image {
            name: "main".into(),
            prog_type,
            attach_type: None,
            license_gpl: true,
            xdp_has_frags: false,
            slots: code.slots,
            functions: code.functions,
            lines: Vec::new(),
            maps: vec![self.map],
        };
        self.kernel.machine.add_program(Program::new(image).unwrap())
    }

    /// What a program makes of a context that is given.
    fn given(&mut self, prog_type: ProgType, text: &str, run: &GivenRun<'_>) -> Result<u32, FaultKind> {
        let prog = self.program(prog_type, text);
        let ran = self.kernel.run_given(prog, run);
        ran.map(|out| out.unwrap().retval).map_err(|fault| fault.kind)
    }

    fn tc(&mut self, text: &str) -> Result<u32, FaultKind> {
        let prog = self.program(ProgType::SchedCls, text);
        let test = TestRun { data_in: &[0; 64], ..TestRun::default() };
        let ran = self.kernel.prog_test_run(prog, &test);
        ran.map(|out| out.unwrap().retval).map_err(|fault| fault.kind)
    }
}

fn errno(errno: Errno) -> u32 {
    errno.as_r0() as u32
}

/// Whether `r0` is this: such programs may answer 0 or 1 only.
fn is(want: u32) -> String {
    format!("w0 ^= {}; if w0 == 0 goto yes; r0 = 0; exit\nyes:\nr0 = 1; exit", want as i32)
}

/// The key in the stack, the map and the key's address as the second and third argument.
fn keyed(key: u32) -> String {
    format!("*(u32 *)(r10 -4) = {key}; r2 = map ll; r3 = r10; r3 += -4")
}

#[test]
fn a_message_goes_on_to_sockets_that_take_it() {
    for (map_type, map_helper) in [(MapType::Sockmap, 60), (MapType::Sockhash, 71)] {
        let mut bench = Bench::new(map_type, 4, 4, 8);
        let tcp = Socket { state: ESTABLISHED, hashed: true, ..Socket::new(AF_INET, SOCK_STREAM, TCP) };
        bench.put(0, &tcp);
        bench.put(1, &Socket { state: LISTEN, ..tcp });
        bench.put(2, &Socket { state: ESTABLISHED, ..Socket::new(AF_UNIX, SOCK_STREAM, 0) });
        bench.put(3, &Socket { hashed: true, ..Socket::new(AF_INET, SOCK_DGRAM, UDP) });
        // Key, flags, and whether the message passes.
        for (key, flags, passes) in [
            (0, 0, 1),
            (0, 1, 1),
            (0, 2, 0),
            (1, 0, 0),
            (2, 0, 0),
            (2, 1, 1),
            (3, 1, 0),
            (4, 0, 0),
            (9, 0, 0),
        ] {
            let third = if map_type == MapType::Sockmap { format!("r3 = {key}") } else { String::new() };
            let text =
                format!("{}; {third}; r4 = {flags}; call {map_helper}; exit", keyed(key)).replace("; ;", ";");
            let run = GivenRun { data: b"message", ..GivenRun::default() };
            assert_eq!(bench.given(ProgType::SkMsg, &text, &run), Ok(passes), "{map_type} {key} {flags}");
        }
    }
}

#[test]
fn a_connection_enters_a_map_when_it_is_established() {
    for (map_type, helper) in [(MapType::Sockmap, 53), (MapType::Sockhash, 70)] {
        let mut bench = Bench::new(map_type, 4, 4, 2);
        let mut ctx = [0; 224];
        ctx[IS_FULLSOCK] = 1;
        (ctx[20], ctx[88]) = (2, 1);
        for (op, key, flags, want) in [
            (3, 0, 0, errno(Errno::EOPNOTSUPP)),
            (4, 0, 2, errno(Errno::ENOENT)),
            (4, 0, 1, 0),
            (5, 1, 0, 0),
            (5, 1, 3, errno(Errno::EINVAL)),
        ] {
            ctx[OP] = op;
            let run = GivenRun { ctx: &ctx, ..GivenRun::default() };
            let text = format!("{}; r4 = {flags}; call {helper}; {}", keyed(key), is(want));
            assert_eq!(bench.given(ProgType::SockOps, &text, &run), Ok(1), "{map_type} {op}");
        }
    }
}

#[test]
fn a_tcp_socket_is_what_its_context_tells() {
    let mut bench = Bench::new(MapType::Array, 4, 8, 1);
    let mut ctx = [0; 224];
    ctx[IS_FULLSOCK] = 1;
    // snd_cwnd, rtt_min, sacked_out, bytes_acked
    (ctx[76], ctx[92], ctx[160], ctx[176]) = (1, 2, 4, 8);
    let text = "r1 = *(u64 *)(r1 +184); call 96; r1 = *(u32 *)(r0 +0); r2 = *(u32 *)(r0 +8); r1 += r2;
                r2 = *(u32 *)(r0 +76); r1 += r2; r2 = *(u64 *)(r0 +88); r1 += r2; r0 = r1; w0 ^= 15; if w0 == 0 goto yes; r0 = 0; exit
                yes:
                r0 = 1; exit";
    let run = GivenRun { ctx: &ctx, ..GivenRun::default() };
    assert_eq!(bench.given(ProgType::SockOps, text, &run), Ok(1));
    // A structure of the kernel is there, and has no bytes.
    let cast = "r1 = *(u64 *)(r1 +184); call 137; r6 = r0; r0 = 1; if r6 != 0 goto +1; r0 = 0; exit";
    assert_eq!(bench.given(ProgType::SockOps, cast, &run), Ok(1));
    let read = "r1 = *(u64 *)(r1 +184); call 137; r0 = *(u32 *)(r0 +0); exit";
    assert!(bench.given(ProgType::SockOps, read, &run).is_err());
}

#[test]
fn a_socket_is_selected_from_its_group_only() {
    let udp = Socket { hashed: true, reuseport: true, ..Socket::new(AF_INET, SOCK_DGRAM, UDP) };
    let mut ctx = [0; 56];
    // ETH_P_IP, network byte order, and IPPROTO_UDP.
    (ctx[20], ctx[24]) = (8, 17);
    for map_type in [MapType::ReuseportSockarray, MapType::Sockmap, MapType::Sockhash] {
        let mut bench = Bench::new(map_type, 4, 8, 8);
        bench.put(0, &Socket { reuseport_id: 5, ..udp.clone() });
        bench.put(1, &Socket { reuseport_id: 6, ..udp.clone() });
        let tcp = Socket { state: LISTEN, reuseport_id: 7, ..Socket::new(AF_INET, SOCK_STREAM, TCP) };
        bench.put(2, &Socket { hashed: true, ..tcp });
        bench.put(3, &Socket { reuseport_id: 8, ..Socket { family: 10, ..udp.clone() } });
        let mut cases = vec![
            (0, 0),
            (1, errno(Errno::EBADFD)),
            (2, errno(Errno::EPROTOTYPE)),
            (3, errno(Errno::EAFNOSUPPORT)),
            (4, errno(Errno::ENOENT)),
        ];
        if map_type != MapType::ReuseportSockarray {
            bench.put(5, &udp);
            cases.push((5, errno(Errno::EINVAL)));
        }
        for (key, want) in cases {
            let text = format!("{}; r4 = 0; call 82; {}", keyed(key), is(want));
            let run = GivenRun { ctx: &ctx, data: &[0; 8], reuseport_id: 5, ..GivenRun::default() };
            assert_eq!(bench.given(ProgType::SkReuseport, &text, &run), Ok(1), "{map_type} {key}");
        }
    }
}

#[test]
fn a_socket_out_of_a_map_has_to_be_given_back() {
    let mut bench = Bench::new(MapType::Sockmap, 4, 8, 2);
    let socket = bench.put(0, &Socket { state: ESTABLISHED, ..Socket::new(AF_INET, SOCK_STREAM, TCP) });
    let find = "*(u32 *)(r10 -4) = 0; r1 = map ll; r2 = r10; r2 += -4; call 1";
    assert!(matches!(bench.tc(&format!("{find}; r0 = 0; exit")), Err(FaultKind::Unreleased(_))));
    let twice = format!(
        "{find}; if r0 == 0 goto end; r6 = r0; r1 = r0; call 86; r1 = r6; call 86\nend:\nr0 = 3; exit"
    );
    assert!(matches!(bench.tc(&twice), Err(FaultKind::Argument { helper: "sk_release", .. })));
    bench.kernel.close_socket(socket);
    assert_eq!(bench.tc(&twice), Ok(3), "it left the map when it was closed");
    let no_socket = format!("{find}; r1 = r10; call 95; exit");
    assert!(matches!(bench.tc(&no_socket), Err(FaultKind::Argument { helper: "sk_fullsock", .. })));
}

#[test]
fn samples_are_drained_until_the_callback_has_enough() {
    let mut bench = Bench::new(MapType::UserRingbuf, 0, 0, 4096);
    let text =
        "r6 = 0; *(u64 *)(r10 -8) = r6; r1 = map ll; r2 = sample ll; r3 = r10; r3 += -8; r4 = 0; call 209;
                r0 <<= 8; r1 = *(u64 *)(r10 -8); r0 += r1; exit
                .func sample
                r6 = r1; r7 = r2; r1 = r10; r1 += -8; r2 = 4; r3 = r6; r4 = 0; r5 = 0; call 201;
                r1 = *(u32 *)(r10 -8); r2 = *(u64 *)(r7 +0); r2 += r1; *(u64 *)(r7 +0) = r2; r0 = 0;
                if r1 != 9 goto +1; r0 = 1; exit";
    let produce = |bench: &mut Bench, value: u32, discard: bool| {
        let ring = bench.kernel.machine.maps.map(bench.map).user_ringbuf().unwrap();
        ring.produce(&value.to_le_bytes(), discard).unwrap();
    };
    assert_eq!(bench.tc(text), Ok(0));
    for (value, discard) in [(1, false), (2, true), (4, false)] {
        produce(&mut bench, value, discard);
    }
    assert_eq!(bench.tc(text), Ok(2 << 8 | 5), "two samples, and one that was taken back");
    for value in [1, 9, 2] {
        produce(&mut bench, value, false);
    }
    assert_eq!(bench.tc(text), Ok(2 << 8 | 0xa), "the callback stops at 9");
    assert_eq!(bench.tc(text), Ok(1 << 8 | 2));
    let flags = "r1 = map ll; r2 = sample ll; r3 = 0; r4 = 4; call 209; exit
                 .func sample
                 r0 = 0; exit";
    assert_eq!(bench.tc(flags), Ok(errno(Errno::EINVAL)));
    produce(&mut bench, 1, false);
    let nested = "r1 = map ll; r2 = sample ll; r3 = r10; r3 += -8; r6 = 0; *(u64 *)(r10 -8) = r6; r4 = 0; call 209;
                  r0 = *(u64 *)(r10 -8); exit
                  .func sample
                  r6 = r2; r1 = map ll; r2 = other ll; r3 = 0; r4 = 0; call 209; *(u64 *)(r6 +0) = r0; r0 = 0; exit
                  .func other
                  r0 = 0; exit";
    assert_eq!(bench.tc(nested), Ok(errno(Errno::EBUSY)));
}

#[test]
fn a_map_a_helper_does_not_take_is_refused_by_name() {
    let used = HelperUse {
        program: "main",
        prog_type: ProgType::CgroupSkb,
        attach_type: None,
        helper: 2,
        slot: 0,
        line: None,
        maps: [Some(MapType::Sockmap), None, None, None, None],
    };
    assert_eq!(
        check_maps(&used).unwrap_err(),
        "bpf_map_update_elem takes no map of type BPF_MAP_TYPE_SOCKMAP from a program of type \
         BPF_PROG_TYPE_CGROUP_SKB: cannot pass map_type 15 into func bpf_map_update_elem#2"
    );
    assert_eq!(check_maps(&HelperUse { prog_type: ProgType::SchedCls, ..used }), Ok(()));
}
