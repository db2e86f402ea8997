//! Probes on the simulator, and the process that answers them for a kernel.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use bpftwin_sim::bpf::Engine;
use bpftwin_sim::bpf::map::{MapId, MapSpec};
use bpftwin_sim::bpf::program::{Function, Image, Program};
use bpftwin_sim::net::{Config, Kernel, Room, TestRun};
use bpftwin_sim::uapi::insn::Slot;
use bpftwin_sim::uapi::{AttachType, MapType, ProgType, Release};

use super::Unavailable;
use super::kernel::KernelPlane;
use super::sim::network_of;
use crate::case::Network;
use crate::observation::{Begin, Event, Outcome};
use crate::probe::{Probe, ProbeRun, ProbeRunSeen, ProbeSeen};

/// Instructions one run may take: far more than a probe that ends.
const FUEL: u64 = 1 << 24;

/// The simulator, kept from one probe to the next as long as they want the same network and size of value.
pub struct SimProber {
    release: Release,
    nr_cpus: u32,
    /// What runs the programs.
    pub engine: Engine,
    scene: Option<Scene>,
}

/// One simulated kernel and its map.
struct Scene {
    network: Network,
    size: usize,
    kernel: Kernel,
    map: MapId,
    address: u64,
    /// Probes answered. A new kernel is made after some, so that nothing adds up.
    used: u32,
}

/// Probes one simulated kernel answers.
const RENEW_AFTER: u32 = 64;

impl SimProber {
    /// A simulator that speaks as this kernel.
    pub const fn new(release: Release, nr_cpus: u32) -> Self {
        Self { release, nr_cpus, engine: Engine::Auto, scene: None }
    }

    /// Runs one probe. The error says what is wrong with it.
    pub fn run(&mut self, probe: &Probe) -> Result<ProbeSeen, String> {
        let size = value_size(probe)?;
        let prog_type = ProgType::from_u32(probe.prog_type)
            .ok_or_else(|| format!("{} is no program type", probe.prog_type))?;
        let attach_type = AttachType::from_u32(probe.attach_type)
            .ok_or_else(|| format!("{} is no attach type", probe.attach_type))?;
        let scene = match self.scene.take() {
            Some(scene) if scene.fits(probe, size) => self.scene.insert(scene),
            _ => self.scene.insert(Scene::new(self.release, self.nr_cpus, probe, size)?),
        };
        scene.used += 1;
        scene.kernel.machine.engine = self.engine;
        let mut slots = slots(&probe.slots)?;
        define(&mut slots, &probe.value_at, 0, scene.address)?;
        let image = Image {
            name: "main".into(),
            prog_type,
            attach_type: (probe.attach_type != 0).then_some(attach_type),
            xdp_has_frags: false,
            license_gpl: true,
            slots,
            functions: vec![Function { name: "main".into(), start_slot: 0 }],
            lines: Vec::new(),
            maps: vec![scene.map],
        };
        let program = match Program::new(image) {
            Ok(program) => program,
            Err(error) => return Ok(ProbeSeen::Refused(error.to_string())),
        };
        scene.kernel.machine.programs.clear();
        let prog = scene.kernel.machine.add_program(program);
        let mut seen = Vec::with_capacity(probe.runs.len());
        for run in &probe.runs {
            let (maps, mut ctx) = scene.kernel.machine.maps();
            maps.sys_update(&mut ctx, scene.map, &[0; 4], &run.value, 0)
                .map_err(|errno| format!("setting the value: {errno}"))?;
            let test = TestRun {
                data_in: &run.data,
                ctx_in: &run.ctx,
                repeat: run.repeat,
                flags: run.flags,
                data_out: if prog_type == ProgType::SkLookup { Room::Nothing } else { Room::Whole },
                ..TestRun::default()
            };
            let outcome = match scene.kernel.prog_test_run(prog, &test) {
                Ok(Ok(out)) => {
                    Outcome::Done { retval: out.retval, data: out.data.into(), ctx: out.ctx.into() }
                }
                Ok(Err(errno)) => Outcome::Errno(errno.raw()),
                Err(fault) => Outcome::Fault(fault.to_string()),
            };
            let (maps, mut ctx) = scene.kernel.machine.maps();
            let value = maps
                .sys_lookup(&mut ctx, scene.map, &[0; 4], 0)
                .map_err(|errno| format!("reading the value: {errno}"))?;
            seen.push(ProbeRunSeen { outcome, value: value.into() });
        }
        Ok(ProbeSeen::Ran(seen))
    }
}

impl Scene {
    fn new(release: Release, nr_cpus: u32, probe: &Probe, size: usize) -> Result<Self, String> {
        let network = network_of(&probe.network)?;
        let mut kernel = Kernel::new(&Config { release, nr_cpus, network, fuel: FUEL, ..Config::default() });
        let spec = MapSpec {
            name: "value".into(),
            map_type: MapType::Array,
            key_size: 4,
            value_size: size as u32,
            max_entries: 1,
            flags: 0,
            extra: 0,
            inner: None,
            pinning: 0,
            key_type: 0,
            value_type: 0,
            fields: Vec::new(),
        };
        let (maps, mut ctx) = kernel.machine.maps();
        let map = maps.create(&mut ctx, &spec).map_err(|errno| format!("creating the map: {errno}"))?;
        let address =
            maps.value_addr(&mut ctx, map, 0).map_err(|errno| format!("the value's address: {errno}"))?;
        Ok(Self { network: probe.network.clone(), size, kernel, map, address, used: 0 })
    }

    fn fits(&self, probe: &Probe, size: usize) -> bool {
        self.used < RENEW_AFTER && self.size == size && self.network == probe.network
    }
}

/// The size of every run's value.
pub fn value_size(probe: &Probe) -> Result<usize, String> {
    let size = |run: &ProbeRun| run.value.len();
    let first = probe.runs.first().map(size).ok_or("a probe without runs")?;
    if first == 0 || probe.runs.iter().any(|run| size(run) != first) {
        return Err("a probe's runs have values of one size, at least 1".into());
    }
    Ok(first)
}

/// A probe's instruction slots.
pub fn slots(bytes: &[u8]) -> Result<Vec<u64>, String> {
    let (slots, rest) = bytes.as_chunks::<8>();
    if !rest.is_empty() {
        return Err(format!("{} bytes are no whole number of slots", bytes.len()));
    }
    Ok(slots.iter().map(|slot| u64::from_le_bytes(*slot)).collect())
}

/// Gives the `ld_imm64` at `places` source register `src` and this number.
pub fn define(slots: &mut [u64], places: &[u32], src: u8, value: u64) -> Result<(), String> {
    for &place in places {
        let at = place as usize;
        if at + 1 >= slots.len() {
            return Err(format!("there is no ld_imm64 at slot {place}"));
        }
        slots[at] = Slot { src, imm: value as i32, ..Slot::from_u64(slots[at]) }.to_u64();
        slots[at + 1] = Slot { imm: (value >> 32) as i32, ..Slot::default() }.to_u64();
    }
    Ok(())
}

/// A `bpftwin-kernel --probe` that waits for questions.
pub struct KernelProber {
    begin: Begin,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
    line: String,
}

impl KernelProber {
    /// Starts it.
    pub fn start(plane: &KernelPlane) -> Result<Self, Unavailable> {
        let broken = |why: String| Unavailable {
            why: format!("{}: {why}", plane.binary().display()),
            advice: "`bpftwin doctor` says what this machine can do".into(),
        };
        let mut child = Command::new(plane.binary())
            .arg("--probe")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| broken(format!("cannot be started: {error}")))?;
        let stdin = child.stdin.take().expect("piped above");
        let mut stdout = BufReader::new(child.stdout.take().expect("piped above"));
        let mut line = String::new();
        let begun = stdout.read_line(&mut line);
        if let (Ok(1..), Ok(Event::Begin(begin))) = (begun, serde_json::from_str(&line)) {
            return Ok(Self { begin, child, stdin, stdout, line });
        }
        // It may be gone already, which is as good.
        let _ = child.kill();
        let _ = child.wait();
        Err(broken("it cannot ask this kernel".into()))
    }

    /// What answers.
    pub const fn begin(&self) -> &Begin {
        &self.begin
    }

    /// Sends a probe; [`receive`](Self::receive) gives the answer. One may be on its way while another is worked on.
    pub fn send(&mut self, probe: &Probe) -> Result<(), Unavailable> {
        let mut json = serde_json::to_vec(probe).expect("a probe has only string keys");
        json.push(b'\n');
        let sent = self.stdin.write_all(&json).and_then(|()| self.stdin.flush());
        sent.map_err(|error| self.gone(&error.to_string()))
    }

    /// The answer to the oldest probe sent.
    pub fn receive(&mut self) -> Result<ProbeSeen, Unavailable> {
        self.line.clear();
        match self.stdout.read_line(&mut self.line) {
            Ok(0) => Err(self.gone("it ended")),
            Err(error) => Err(self.gone(&error.to_string())),
            Ok(_) => serde_json::from_str(&self.line).map_err(|error| self.gone(&error.to_string())),
        }
    }

    /// Asks and waits.
    pub fn ask(&mut self, probe: &Probe) -> Result<ProbeSeen, Unavailable> {
        self.send(probe)?;
        self.receive()
    }

    fn gone(&mut self, why: &str) -> Unavailable {
        let _ = self.child.kill();
        let status = self.child.wait().map_or_else(|error| error.to_string(), |status| status.to_string());
        Unavailable {
            why: format!("bpftwin-kernel --probe: {why} ({status})"),
            advice: "what it wrote to standard error says more".into(),
        }
    }
}

impl Drop for KernelProber {
    fn drop(&mut self) {
        // It ends at the end of its input; killing it is quicker, and it leaves nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
