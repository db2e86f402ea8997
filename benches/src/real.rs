//! The kernel under us and its JIT, by BPF_PROG_TEST_RUN.

use std::fs;
use std::sync::LazyLock;

use bpftwin_conformance::case::Case;
use bpftwin_kernel_tests::elements;
use bpftwin_kernel_tests::failure::Stop;
use bpftwin_kernel_tests::network::{self, Scene};
use bpftwin_kernel_tests::object::Object;
use bpftwin_kernel_tests::privilege;
use bpftwin_kernel_tests::sys::{Prog, TestRun};

/// Whether the kernel compiles. Looked at once: the namespaces that cases run in do not show it.
static JIT_ENABLED: LazyLock<bool> = LazyLock::new(|| {
    let enabled = fs::read_to_string("/proc/sys/net/core/bpf_jit_enable").unwrap_or_default();
    matches!(enabled.trim(), "1" | "2")
});

/// A case, ready to run again and again.
pub struct Runner<'a> {
    objects: Vec<Object>,
    case: &'a Case,
    _scene: Scene,
}

impl<'a> Runner<'a> {
    /// Loads `case` into the kernel. The error says in words why that cannot be had here.
    pub fn new(case: &'a Case) -> Result<Self, String> {
        privilege::check().map_err(|failure| failure.to_string())?;
        if !*JIT_ENABLED {
            return Err("net.core.bpf_jit_enable is off".to_owned());
        }
        let told = |stop: Stop| stop.to_string();
        let scene = network::enter(&case.network).map_err(told)?;
        let objects = case.objects.iter().map(Object::load).collect::<Result<Vec<_>, _>>().map_err(told)?;
        for write in &case.maps {
            elements::write(&objects, write).map_err(told)?;
        }
        Ok(Self { objects, case, _scene: scene })
    }

    fn program(&self, object: &str, name: &str) -> &Prog {
        let object = self.objects.iter().find(|known| known.name == object).expect("the case has it");
        &object.programs[name].prog
    }

    /// Each run of the case, `repeat` times over; gives what each returned last.
    ///
    /// # Panics
    /// If the kernel refuses.
    pub fn run(&self, repeat: u32, retvals: &mut Vec<u32>) {
        retvals.clear();
        for run in &self.case.runs {
            let test = TestRun {
                data_in: &run.data,
                ctx_in: (!run.ctx.is_empty()).then_some(&*run.ctx),
                repeat,
                flags: run.flags,
                data_room: Some(0),
                ctx_room: Some(0),
                ..TestRun::default()
            };
            let program = self.program(&run.object, &run.program);
            retvals.push(program.test_run(&test).expect("BPF_PROG_TEST_RUN").retval);
        }
    }
}
