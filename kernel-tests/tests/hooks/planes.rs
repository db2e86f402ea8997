//! One program at a hook of the kernel, and in the simulator over the context it had there.

use bpftwin_conformance::case::Network;
use bpftwin_kernel_tests::network;
use bpftwin_kernel_tests::sys::{Cgroup, Map, Prog, ProgLoad};
use bpftwin_sim::bpf::asm::assemble;
use bpftwin_sim::bpf::map::MapSpec;
use bpftwin_sim::bpf::program::{Image, Program};
use bpftwin_sim::net::{Config, GivenRun, Kernel};
use bpftwin_sim::uapi::{AttachType, MapType, ProgType, Release};

/// Bytes of the map's only value.
const VALUE: u32 = 32_760;

/// A program at a hook.
#[derive(Clone)]
pub struct Hook {
    kind: (ProgType, AttachType),
    /// Offset and bytes of every field that makes up the context.
    fields: Vec<(u32, u32)>,
    body: String,
    data: Vec<u8>,
    /// What the context's first word has to be.
    op: Option<u32>,
}

/// What the simulator gave.
pub struct Out {
    /// The data after the run.
    pub data: Vec<u8>,
}

/// A namespace with the loopback alone, for this thread.
pub fn fresh_network() {
    let scene = network::enter(&Network::default()).unwrap_or_else(|_| panic!("no network namespace"));
    std::mem::forget(scene);
}

impl Hook {
    /// `body` sees the context in `r6`, and `out` keeps `r0`.
    pub fn new(prog_type: ProgType, attach_type: AttachType, fields: &[(u32, u32)], body: &str) -> Self {
        let kind = (prog_type, attach_type);
        Self { kind, fields: fields.to_vec(), body: body.to_owned(), data: Vec::new(), op: None }
    }

    /// What the context's pointers point at.
    pub fn with_data(mut self, data: &[u8]) -> Self {
        self.data = data.to_vec();
        self
    }

    /// Events other than this one are let pass.
    pub fn only_for(mut self, op: u32) -> Self {
        self.op = Some(op);
        self
    }

    /// The program, and for each value it keeps the line that gave it.
    fn text(&self) -> (String, Vec<String>) {
        let mut source = "r6 = r1\nr7 = value ll\n".to_owned();
        if let Some(op) = self.op {
            source += &format!("r0 = *(u32 *)(r6 +0); if r0 == {op} goto +2; r0 = 1; exit\n");
        }
        source += "r0 = 1; out\n";
        for (offset, size) in &self.fields {
            source += &format!("r0 = *(u{} *)(r6 +{offset}); out\n", size * 8);
        }
        source += &self.body;
        let (mut text, mut lines) = (String::new(), Vec::new());
        for line in source.lines() {
            for statement in line.split(';').map(str::trim).filter(|statement| !statement.is_empty()) {
                if statement == "out" {
                    text += &format!("*(u64 *)(r7 +{}) = r0\n", lines.len() * 8);
                    lines.push(line.to_owned());
                } else {
                    text += statement;
                    text.push('\n');
                }
            }
        }
        assert!(lines.len() * 8 <= VALUE as usize, "{} values are too many", lines.len());
        (text + "r0 = 1; exit", lines)
    }

    /// The context a run at the hook had.
    fn context(&self, value: &[u8]) -> Vec<u8> {
        let size = self.fields.iter().map(|(offset, size)| offset + size).max().unwrap_or(0);
        let mut ctx = vec![0; size as usize];
        for (index, &(offset, size)) in self.fields.iter().enumerate() {
            let at = (index + 1) * 8;
            ctx[offset as usize..(offset + size) as usize].copy_from_slice(&value[at..at + size as usize]);
        }
        ctx
    }

    /// Both planes, the kernel's while `act` runs.
    pub fn agree(&self, cgroup: &Cgroup, act: impl FnOnce()) -> Out {
        let (text, lines) = self.text();
        let real = self.at_the_hook(&text, cgroup, act);
        assert_eq!(real[..8], 1_u64.to_le_bytes(), "the program was not called:\n{}", self.body);
        let ctx = self.context(&real);
        let (simulated, out) = self.simulate(&text, &ctx);
        let word = |value: &[u8], index: usize| {
            u64::from_le_bytes(value[index * 8..index * 8 + 8].try_into().expect("8 bytes"))
        };
        let wrong: Vec<String> = (0..lines.len())
            .filter(|&index| word(&real, index) != word(&simulated, index))
            .map(|index| {
                let (real, simulated) = (word(&real, index), word(&simulated, index));
                let before = if index > 0 { &lines[index - 1] } else { "" };
                format!("{before}\n  {}\n    kernel {real:#x}, sim {simulated:#x}", lines[index])
            })
            .collect();
        let (kind, attach_type) = self.kind;
        assert!(
            wrong.is_empty(),
            "{kind} {attach_type}, {ctx:02x?}\n{}",
            wrong[..wrong.len().min(12)].join("\n")
        );
        out
    }

    fn at_the_hook(&self, text: &str, cgroup: &Cgroup, act: impl FnOnce()) -> Vec<u8> {
        let (prog_type, attach_type) = self.kind;
        let map = Map::new(MapType::Array as u32, 4, VALUE, 1, 0).expect("an array");
        map.update(&[0; 4], &vec![0xee; VALUE as usize], 0).expect("sets the value");
        let mut code = assemble(text).unwrap_or_else(|error| panic!("{error}"));
        code.define("value", 2, map.raw().into());
        let load = ProgLoad {
            prog_type: prog_type as u32,
            expected_attach_type: attach_type as u32,
            insns: &code.slots,
            ..ProgLoad::default()
        };
        let prog = Prog::load(&load).unwrap_or_else(|error| {
            let log = &error.log[error.log.len().saturating_sub(2000)..];
            panic!("{}\n{log}", error.errno)
        });
        cgroup.attach(&prog, attach_type as u32).expect("attaches");
        act();
        cgroup.detach(&prog, attach_type as u32).expect("detaches");
        map.lookup(&[0; 4], 0).expect("reads the value")
    }

    fn simulate(&self, text: &str, ctx: &[u8]) -> (Vec<u8>, Out) {
        let (prog_type, attach_type) = self.kind;
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a release");
        let release = Release::of_uname(&release).expect("a known series");
        let mut kernel = Kernel::new(&Config { release, ..Config::default() });
        let spec = MapSpec {
            name: "value".into(),
            map_type: MapType::Array,
            key_size: 4,
            value_size: VALUE,
            max_entries: 1,
            flags: 0,
            extra: 0,
            inner: None,
            pinning: 0,
            key_type: 0,
            value_type: 0,
            fields: Vec::new(),
        };
        let (maps, mut map_ctx) = kernel.machine.maps();
        let map = maps.create(&mut map_ctx, &spec).expect("creates the map");
        maps.sys_update(&mut map_ctx, map, &[0; 4], &vec![0xee; VALUE as usize], 0).expect("sets the value");
        let address = maps.value_addr(&mut map_ctx, map, 0).expect("an array has an address");
        let mut code = assemble(text).expect("it was assembled before");
        code.define("value", 0, address);
        let image = Image {
            name: "hook".into(),
            prog_type,
            attach_type: Some(attach_type),
            xdp_has_frags: false,
            license_gpl: true,
            slots: code.slots,
            functions: code.functions,
            lines: Vec::new(),
            maps: vec![map],
        };
        let prog = kernel.machine.add_program(Program::new(image).expect("decodes"));
        let run = GivenRun { ctx, data: &self.data, repeat: 1, ..GivenRun::default() };
        let done = kernel.run_given(prog, &run).unwrap_or_else(|fault| panic!("{fault}"));
        let done = done.unwrap_or_else(|why| panic!("{why}: {ctx:02x?}"));
        let (maps, mut map_ctx) = kernel.machine.maps();
        let value = maps.sys_lookup(&mut map_ctx, map, &[0; 4], 0).expect("reads the value");
        (value, Out { data: done.data })
    }
}
