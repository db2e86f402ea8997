//! One kernel: a machine and what is around it.

use crate::bpf::load::{self, Attempt, LoadError, LoadOptions, Loaded, Offered};
use crate::bpf::object::Object;
use crate::bpf::{Engine, Machine};
use crate::net::env::Env;
use crate::net::network::Network;
use crate::net::{helper, kfunc};
use crate::uapi::Release;

/// What a kernel is made as.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// The kernel spoken as.
    pub release: Release,
    /// The CPU programs run on.
    pub cpu: u32,
    /// Possible CPUs.
    pub nr_cpus: u32,
    /// Where the sequence of `bpf_get_prandom_u32` starts.
    pub seed: u64,
    /// Instructions one run of a program may take.
    pub fuel: u64,
    /// What runs programs.
    pub engine: Engine,
    /// What is around.
    pub network: Network,
}

/// Far more than any program that terminates needs.
const DEFAULT_FUEL: u64 = 1 << 32;

impl Default for Config {
    fn default() -> Self {
        Self {
            release: Release::default(),
            cpu: 0,
            nr_cpus: 1,
            seed: 0,
            fuel: DEFAULT_FUEL,
            engine: Engine::default(),
            network: Network::default(),
        }
    }
}

/// One kernel.
pub struct Kernel {
    /// Memory, maps and programs.
    pub machine: Machine,
    /// Everything else.
    pub env: Env,
    /// Instructions one run of a program may take.
    pub fuel: u64,
}

impl Kernel {
    /// A kernel without programs, its clock at [`Env::START_NS`].
    pub fn new(config: &Config) -> Self {
        let mut machine = Machine::new(config.release, config.nr_cpus);
        machine.cpu = config.cpu;
        machine.engine = config.engine;
        let env = Env::new(&config.network, config.seed);
        machine.devices = env.devices.iter().map(|device| device.ifindex).collect();
        Self { machine, env, fuel: config.fuel }
    }

    /// Loads an object: its maps, and its programs, whose every helper has to be known for their type.
    pub fn load(&mut self, object: &Object, options: &LoadOptions) -> Result<Loaded, LoadError> {
        let Attempt { loaded, failed } = self.load_each(object, options)?;
        failed.into_iter().next().map_or(Ok(loaded), Err)
    }

    /// Loads as much of an object as can be, and tells of everything that cannot.
    pub fn load_each(&mut self, object: &Object, options: &LoadOptions) -> Result<Attempt, LoadError> {
        let release = self.machine.release;
        let gpl = object.license_is_gpl_compatible();
        let offered = Offered {
            helper: &|used| {
                helper::check(used.prog_type, used.attach_type, used.helper)?;
                helper::check_license(used.helper, gpl)?;
                helper::check_maps(used)
            },
            kfunc: &|used| kfunc::resolve(release, gpl, used),
        };
        load::load_each(&mut self.machine, object, options, &offered)
    }
}
