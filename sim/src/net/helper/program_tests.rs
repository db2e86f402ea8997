//! Helpers called by programs: callbacks, timers, and what has to be given back.

use crate::bpf::asm::assemble;
use crate::bpf::fault::FaultKind;
use crate::bpf::machine::ProgId;
use crate::bpf::map::{MapId, MapSpec, SpecialField, SpecialKind};
use crate::bpf::program::{Image, Program};
use crate::net::{Config, Kernel, TestRun};
use crate::uapi::map::BPF_F_RDONLY_PROG;
use crate::uapi::{Errno, MapType, ProgType, Release};

/// A kernel with one map called `map` and one program.
struct Bench {
    kernel: Kernel,
    map: MapId,
    prog: ProgId,
}

impl Bench {
    fn new(release: Release, map: &MapSpec, text: &str) -> Self {
        let mut kernel = Kernel::new(&Config { release, ..Config::default() });
        let (maps, mut ctx) = kernel.machine.maps();
        let map = maps.create(&mut ctx, map).unwrap();
        let mut code = assemble(text).unwrap();
        code.define("map", 0, map.handle());
        for function in code.functions.clone() {
            code.define(&function.name, 0, crate::bpf::program::function_addr(function.start_slot));
        }
        let image = Image {
            name: "main".into(),
            prog_type: ProgType::SchedCls,
            attach_type: None,
            license_gpl: true,
            xdp_has_frags: false,
            slots: code.slots,
            functions: code.functions,
            lines: Vec::new(),
            maps: vec![map],
        };
        let prog = kernel.machine.add_program(Program::new(image).unwrap());
        Self { kernel, map, prog }
    }

    fn run(&mut self) -> Result<u32, FaultKind> {
        let test = TestRun { data_in: &[0; 64], ..TestRun::default() };
        let ran = self.kernel.prog_test_run(self.prog, &test);
        ran.map(|answer| answer.unwrap().retval).map_err(|fault| fault.kind)
    }

    fn value(&mut self) -> Vec<u8> {
        let (maps, mut ctx) = self.kernel.machine.maps();
        maps.sys_lookup(&mut ctx, self.map, &[0; 4], 0).unwrap()
    }
}

fn spec(map_type: MapType, value_size: u32, kind: Option<SpecialKind>) -> MapSpec {
    let ring = map_type == MapType::Ringbuf;
    MapSpec {
        name: "map".into(),
        map_type,
        key_size: if ring { 0 } else { 4 },
        value_size: if ring { 0 } else { value_size },
        max_entries: if ring { 4096 } else { 1 },
        flags: 0,
        extra: 0,
        inner: None,
        pinning: 0,
        key_type: 0,
        value_type: 0,
        fields: kind.map(|kind| SpecialField { offset: 8, kind }).into_iter().collect(),
    }
}

/// `r6` points to the only element's value.
const LOOKUP: &str = "*(u32 *)(r10 - 4) = 0; r1 = map ll; r2 = r10; r2 += -4; call 1; r6 = r0;";

#[test]
fn a_timer_fires_when_the_clock_passes_it() {
    let text = format!(
        "{LOOKUP}
         r1 = r6; r1 += 8; r2 = map ll; r3 = 1; call 169
         r1 = r6; r1 += 8; r2 = on_timer ll; call 170
         r1 = r6; r1 += 8; r2 = 5000; r3 = 0; call 171
         exit
         .func on_timer
         r1 = *(u64 *)(r3 + 0); r1 += 1; *(u64 *)(r3 + 0) = r1
         r2 = *(u32 *)(r2 + 0); r6 = r1; r6 += r2
         r1 = r3; r1 += 8; r2 = 5000; r3 = 0; call 171
         r0 = 0; exit"
    );
    let mut bench = Bench::new(Release::V6_18, &spec(MapType::Array, 24, Some(SpecialKind::Timer)), &text);
    assert_eq!(bench.run(), Ok(0));
    let start = bench.kernel.env.clock_ns - 1000;
    bench.kernel.advance(3999).unwrap();
    assert_eq!(bench.value()[0], 0);
    bench.kernel.advance(1).unwrap();
    assert_eq!((bench.value()[0], bench.kernel.env.clock_ns), (1, start + 5000));
    // It started itself again, each time from the moment it fired.
    bench.kernel.advance(15_000).unwrap();
    assert_eq!(bench.value()[0], 4);
    // Overwriting the value ends it.
    let (maps, mut ctx) = bench.kernel.machine.maps();
    maps.sys_update(&mut ctx, bench.map, &[0; 4], &[0; 24], 0).unwrap();
    bench.kernel.advance(1_000_000).unwrap();
    assert_eq!(bench.value()[0], 0);
}

#[test]
fn flags_of_timers_came_one_by_one() {
    let text = format!(
        "{LOOKUP}
         r1 = r6; r1 += 8; r2 = map ll; r3 = 1; call 169
         r1 = r6; r1 += 8; r2 = on_timer ll; call 170
         r1 = r6; r1 += 8; r2 = 1; r3 = 1; call 171
         exit
         .func on_timer
         r0 = 0; exit"
    );
    for (release, retval) in [(Release::V6_1, -22_i32), (Release::V6_12, 0)] {
        let spec = spec(MapType::Array, 24, Some(SpecialKind::Timer));
        assert_eq!(Bench::new(release, &spec, &text).run(), Ok(retval as u32), "{release}");
    }
}

#[test]
fn what_was_taken_has_to_be_given_back() {
    let lock = format!("{LOOKUP} r1 = r6; r1 += 8; call 93;");
    let locked = spec(MapType::Array, 16, Some(SpecialKind::SpinLock));
    let ring = spec(MapType::Ringbuf, 0, None);
    let reserve = "r1 = map ll; r2 = 8; r3 = 0; call 131; r6 = r0;";
    for (map, text, fault) in [
        (&locked, format!("{lock} r1 = r6; r1 += 8; call 94; r0 = 0; exit"), None),
        (&locked, format!("{lock} r0 = 0; exit"), Some("is still held")),
        (&locked, format!("{lock} call 5; exit"), Some("bpf_ktime_get_ns while holding a lock")),
        (&locked, format!("{LOOKUP} r1 = r6; r1 += 8; call 94; exit"), Some("not the lock that is held")),
        (&locked, format!("{LOOKUP} r1 = r6; r1 += 4; call 93; exit"), Some("no SpinLock of a map value")),
        (&ring, format!("{reserve} r1 = r6; r2 = 0; call 132; r0 = 0; exit"), None),
        (&ring, format!("{reserve} r0 = 0; exit"), Some("neither submitted nor discarded")),
        (&ring, format!("{reserve} r1 = r6; r1 += 8; r2 = 0; call 132; exit"), Some("not a reserved record")),
        (
            &ring,
            format!("{reserve} r1 = r6; r2 = 0; call 132; r1 = r6; r2 = 0; call 133; exit"),
            Some("not a reserved record"),
        ),
    ] {
        let mut bench = Bench::new(Release::V6_18, map, &text);
        // A faulting run leaves nothing to the next one.
        for _ in 0..2 {
            match (bench.run(), fault) {
                (Ok(0), None) => {}
                (Err(kind), Some(fault)) => assert!(kind.to_string().contains(fault), "{text}: {kind}"),
                (ran, _) => panic!("{text}: {ran:?}"),
            }
        }
    }
}

#[test]
fn programs_cannot_write_maps_that_are_read_only_to_them() {
    let map = MapSpec { flags: BPF_F_RDONLY_PROG, ..spec(MapType::Array, 8, None) };
    let update = "*(u64 *)(r10 - 8) = 0; r1 = map ll; r2 = r10; r2 += -8; r3 = r2; r4 = 0; call 2; exit";
    let fault = Bench::new(Release::V6_18, &map, update).run().unwrap_err();
    assert!(matches!(fault, FaultKind::Argument { helper: "map_update_elem", number: 1, .. }), "{fault}");
}

#[test]
fn errors_of_map_helpers_widened() {
    // Deleting from an array gives -EINVAL; the program returns the upper half of r0.
    let delete = "*(u32 *)(r10 - 4) = 0; r1 = map ll; r2 = r10; r2 += -4; call 3; r0 >>= 32; exit";
    for (release, upper) in [(Release::V6_1, 0), (Release::V6_12, u32::MAX), (Release::V6_18, u32::MAX)] {
        let map = spec(MapType::Array, 8, None);
        assert_eq!(Bench::new(release, &map, delete).run(), Ok(upper), "{release}");
    }
}

#[test]
fn a_program_asks_a_bloom_filter_for_what_it_put_in() {
    let map = MapSpec { key_size: 0, ..spec(MapType::BloomFilter, 4, None) };
    let ask = |put: u32, asked: u32| {
        let text = format!(
            "r1 = {put}; *(u32 *)(r10 - 4) = r1
             r1 = map ll; r2 = r10; r2 += -4; r3 = 0; call 87
             r1 = {asked}; *(u32 *)(r10 - 4) = r1
             r1 = map ll; r2 = r10; r2 += -4; call 89; exit"
        );
        Bench::new(Release::V6_18, &map, &text).run()
    };
    assert_eq!(ask(7, 7), Ok(0));
    assert_eq!(ask(7, 8), Ok(Errno::ENOENT.as_r0() as u32));
}
