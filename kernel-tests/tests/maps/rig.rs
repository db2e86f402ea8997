//! Programs over maps that the simulator and the running kernel both have, with sockets that both have.

use bpftwin_kernel_tests::sys::{Map, Prog, ProgLoad, Socket, TestRun, btf_load, possible_cpus};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::bpf::map::{MapId, MapSpec, Reference, SocketRef};
use bpftwin_sim::bpf::program::{Image, Program, function_addr};
use bpftwin_sim::net;
use bpftwin_sim::uapi::{AttachType, Errno, MapType, ProgType, Release};

use super::sockets::loopback_up;
use super::twin::{Twin, machine, spec};

pub const TC: (ProgType, AttachType) = (ProgType::SchedCls, AttachType::CgroupInetIngress);
pub const XDP: (ProgType, AttachType) = (ProgType::Xdp, AttachType::Xdp);
pub const CGROUP: (ProgType, AttachType) = (ProgType::CgroupSkb, AttachType::CgroupInetIngress);
pub const SK_LOOKUP: (ProgType, AttachType) = (ProgType::SkLookup, AttachType::SkLookup);
pub const AF_INET: u16 = 2;
pub const TCP_ESTABLISHED: u32 = 1;
pub const TCP_CLOSE: u32 = 7;
pub const TCP_LISTEN: u32 = 10;
/// Bytes of the map `out`, where programs leave what they saw.
pub const OUT: usize = 256;

/// What a run gave: `retval`, or an errno, and what is in `out`.
pub type Answer = (Result<u32, i32>, Vec<u8>);

/// One kernel of either kind, and maps that both have; the last is `out`.
pub struct Rig {
    pub simulated: net::Kernel,
    /// Every map on both sides.
    pub maps: Vec<(MapId, Map)>,
}

impl Rig {
    pub fn new(specs: &[MapSpec]) -> Self {
        machine();
        let uname = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a kernel");
        let release = Release::of_uname(&uname).expect("a described kernel");
        let config = net::Config { release, nr_cpus: possible_cpus(), ..net::Config::default() };
        let mut simulated = net::Kernel::new(&config);
        let out = spec(MapType::Array, 4, OUT as u32, 1, 0);
        let maps = specs.iter().chain([&out]).map(|spec| {
            let real = Twin::create(spec).expect("alike").expect("created").kernel;
            let (maps, mut ctx) = simulated.machine.maps();
            (maps.create(&mut ctx, spec).expect("created"), real)
        });
        let maps = maps.collect();
        Self { simulated, maps }
    }

    /// A socket of the simulator's like this one.
    pub fn socket(&mut self, socket: &net::Socket) -> SocketRef {
        self.simulated.add_socket(socket).expect("there is memory")
    }

    /// Puts a socket into a map of sockets on both sides.
    pub fn put(&mut self, map: usize, key: u32, (real, sim): (&Socket, SocketRef)) -> bool {
        let (id, kernel) = &self.maps[map];
        let fd = u64::from(real.raw()).to_le_bytes();
        let size = kernel.value_size();
        let done = kernel.update(&key.to_le_bytes(), &fd[..size], 0);
        let maps = &mut self.simulated.machine.maps;
        assert_eq!(maps.sys_update_reference(*id, &key.to_le_bytes(), Reference::Socket(sim), 0), done);
        done.is_ok()
    }

    pub fn set_out(&mut self, bytes: &[u8]) {
        let mut value = bytes.to_vec();
        value.resize(OUT, 0);
        let (id, kernel) = self.maps.last().expect("it is there");
        kernel.update(&[0; 4], &value, 0).expect("it is an array");
        let (maps, mut ctx) = self.simulated.machine.maps();
        maps.sys_update(&mut ctx, *id, &[0; 4], &value, 0).expect("it is an array");
    }

    /// Both answers; `mapN` and `out` name maps, `value` the memory of `out`.
    pub fn both(
        &mut self,
        kind: (ProgType, AttachType),
        text: &str,
        ctx: &[u8],
        repeat: u32,
    ) -> (Answer, Answer) {
        self.set_out(&[]);
        self.again(kind, text, ctx, repeat)
    }

    /// As [`both`](Self::both), with `out` as it is.
    pub fn again(
        &mut self,
        kind: (ProgType, AttachType),
        text: &str,
        ctx: &[u8],
        repeat: u32,
    ) -> (Answer, Answer) {
        let data: Vec<u8> = (0..64)
            .map(|at| {
                if at == 12 {
                    8
                } else if at == 13 {
                    0
                } else {
                    at
                }
            })
            .collect();
        let data = if kind.0 == ProgType::SkLookup { &[][..] } else { &data };
        let prog = self.load(kind, text).unwrap_or_else(|log| panic!("{text}\n{log}"));
        let run = TestRun {
            data_in: data,
            ctx_in: (!ctx.is_empty()).then_some(ctx),
            repeat,
            data_room: (kind.0 == ProgType::SkLookup).then_some(0),
            ..TestRun::default()
        };
        let real = prog.test_run(&run);
        let (id, kernel) = self.maps.last().expect("it is there");
        let real =
            (real.map(|out| out.retval).map_err(Errno::raw), kernel.lookup(&[0; 4], 0).expect("it is there"));

        let id = *id;
        let image = self.image(kind, text);
        let prog = self.simulated.machine.add_program(Program::new(image).expect("decodes"));
        let run = net::TestRun { data_in: data, ctx_in: ctx, repeat, ..net::TestRun::default() };
        let answer = self.simulated.prog_test_run(prog, &run);
        let answer = answer.unwrap_or_else(|fault| panic!("{text}\n{fault}"));
        let (maps, mut ctx) = self.simulated.machine.maps();
        let out = maps.sys_lookup(&mut ctx, id, &[0; 4], 0).expect("it is there");
        (real, (answer.map(|out| out.retval).map_err(Errno::raw), out))
    }

    /// What the simulator leaves in `out` when it runs a program over a context that is given.
    pub fn given(&mut self, kind: (ProgType, AttachType), text: &str, run: &net::GivenRun<'_>) -> Vec<u8> {
        self.set_out(&[]);
        let id = self.maps.last().expect("it is there").0;
        let image = self.image(kind, text);
        let prog = self.simulated.machine.add_program(Program::new(image).expect("decodes"));
        let ran = self.simulated.run_given(prog, run).unwrap_or_else(|fault| panic!("{text}\n{fault}"));
        ran.unwrap_or_else(|why| panic!("{text}\n{why}"));
        let (maps, mut ctx) = self.simulated.machine.maps();
        maps.sys_lookup(&mut ctx, id, &[0; 4], 0).expect("it is there")
    }

    /// What the kernel's program leaves in `out`, once it has run and says so in the last byte.
    pub fn left(&self) -> Vec<u8> {
        let kernel = &self.maps.last().expect("it is there").1;
        for _ in 0..1000 {
            let out = kernel.lookup(&[0; 4], 0).expect("it is there");
            if out[OUT - 1] != 0 {
                return out;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        panic!("the program did not run");
    }

    pub fn agree(&mut self, kind: (ProgType, AttachType), text: &str) {
        let (real, simulated) = self.both(kind, text, &[], 1);
        assert_eq!(simulated, real, "{}: {text}", kind.0);
    }

    pub fn load(&self, (prog_type, attach_type): (ProgType, AttachType), text: &str) -> Result<Prog, String> {
        let mut assembly = assemble(text).unwrap_or_else(|error| panic!("{error}"));
        for (index, (_, map)) in self.maps.iter().enumerate() {
            assembly.define(&format!("map{index}"), 1, map.raw().into());
            if index + 1 == self.maps.len() {
                assembly.define("value", 2, map.raw().into());
            }
        }
        let mut func_info = Vec::new();
        for (function, type_id) in assembly.functions.clone().iter().zip(FUNC..) {
            func_info.push([function.start_slot, type_id]);
            let used = assembly.symbols.iter().find(|(_, name)| *name == function.name);
            if let Some(&(slot, _)) = used {
                assembly.define(&function.name, 4, u64::from(function.start_slot.wrapping_sub(slot + 1)));
            }
        }
        let has_functions = func_info.len() > 1;
        let btf = has_functions.then(|| btf_load(&function_types(func_info.len())).expect("valid BTF"));
        let load = ProgLoad {
            prog_type: prog_type as u32,
            expected_attach_type: attach_type as u32,
            insns: &assembly.slots,
            btf: btf.as_ref().map(std::os::fd::AsFd::as_fd),
            func_info: if has_functions { &func_info } else { &[] },
            ..ProgLoad::default()
        };
        Prog::load(&load).map_err(|error| error.log)
    }

    pub fn image(&mut self, (prog_type, attach_type): (ProgType, AttachType), text: &str) -> Image {
        let mut assembly = assemble(text).unwrap_or_else(|error| panic!("{error}"));
        for function in assembly.functions.clone() {
            assembly.define(&function.name, 0, function_addr(function.start_slot));
        }
        for (index, (id, _)) in self.maps.iter().enumerate() {
            assembly.define(&format!("map{index}"), 0, id.handle());
            if index + 1 == self.maps.len() {
                let (maps, mut ctx) = self.simulated.machine.maps();
                let value = maps.value_addr(&mut ctx, *id, 0).expect("it is an array");
                assembly.define("value", 0, value);
            }
        }
        Image {
            name: "main".into(),
            prog_type,
            attach_type: Some(attach_type),
            xdp_has_frags: false,
            license_gpl: true,
            slots: assembly.slots,
            functions: assembly.functions,
            lines: Vec::new(),
            maps: self.maps.iter().map(|(id, _)| *id).collect(),
        }
    }
}

/// The type of a program's first function; those of the others follow.
const FUNC: u32 = 3;

/// BTF with as many static functions, which take two numbers and give one.
fn function_types(count: usize) -> Vec<u8> {
    const KIND_INT: u32 = 1 << 24;
    const KIND_FUNC: u32 = 12 << 24;
    const KIND_FUNC_PROTO: u32 = 13 << 24;
    let strings = b"\0long\0f\0";
    let mut types = vec![1, KIND_INT, 8, 64, 0, KIND_FUNC_PROTO | 2, 1, 6, 1, 6, 1];
    (0..count).for_each(|_| types.extend([6, KIND_FUNC, 2]));
    let len = types.len() as u32 * 4;
    let head = [0x0001_eb9f, 24, 0, len, len, strings.len() as u32];
    let words = head.into_iter().chain(types).flat_map(u32::to_le_bytes);
    words.chain(strings.iter().copied()).collect()
}

/// Sockets of several kinds, each with what the simulator is to be told of it.
pub fn sockets() -> Vec<(Socket, net::Socket)> {
    loopback_up();
    let here = |port: u16| Some((std::net::Ipv4Addr::LOCALHOST, port).into());
    let of = |kind: i32, protocol: i32| net::Socket::new(AF_INET, kind as u32, protocol as u16);
    let make = |kind: i32| Socket::new(libc::AF_INET, kind, 0).expect("a socket");
    let (tcp, udp) = (of(libc::SOCK_STREAM, libc::IPPROTO_TCP), of(libc::SOCK_DGRAM, libc::IPPROTO_UDP));
    let mut all = vec![(make(libc::SOCK_STREAM), tcp.clone()), (make(libc::SOCK_DGRAM), udp.clone())];
    let (listener, client) = (make(libc::SOCK_STREAM), make(libc::SOCK_STREAM));
    let port = listener.bind(0).expect("a port");
    listener.listen().expect("it is bound");
    let from = client.bind(0).expect("a port");
    client.connect(port).expect("it listens");
    let listening = net::Socket { state: TCP_LISTEN, hashed: true, local: here(port), ..tcp.clone() };
    all.push((listener, listening));
    let local = here(from);
    let connected = net::Socket { state: TCP_ESTABLISHED, hashed: true, local, remote: here(port), ..tcp };
    all.push((client, connected));
    for group in [0, 1] {
        let socket = make(libc::SOCK_DGRAM);
        if group != 0 {
            socket.reuse_port().expect("it is new");
        }
        let port = socket.bind(0).expect("a port");
        let (reuseport, local) = (group != 0, here(port));
        let bound = net::Socket { hashed: true, reuseport_id: group, reuseport, local, ..udp.clone() };
        all.push((socket, bound));
    }
    let [one, other] = Socket::unix_pair(libc::SOCK_STREAM).expect("a pair");
    for socket in [one, other] {
        let made = net::Socket::new(libc::AF_UNIX as u16, libc::SOCK_STREAM as u32, 0);
        all.push((socket, net::Socket { state: TCP_ESTABLISHED, hashed: false, ..made }));
    }
    all
}

/// `key` in `*(r10 - 4)`, the map in `r1`, the key's address in `r2`.
pub fn with_key(map: &str, key: u32) -> String {
    format!("*(u32 *)(r10 -4) = {key}; r1 = {map} ll; r2 = r10; r2 += -4")
}
