//! Objects as loaders other than libbpf take them: map definitions before BTF, sections of their own names, static entry
//! points, tags that fill prog arrays; and what is said when only a part of an object loads.

use std::fs;
use std::path::Path;

use bpftwin_sim::bpf::load::{Attempt, HelperUse, Kfunc, KfuncUse, LoadOptions, Offered, load_each};
use bpftwin_sim::bpf::machine::Machine;
use bpftwin_sim::bpf::object::{Object, TailSlot};
use bpftwin_sim::uapi::{MapType, ProgType, Release};

fn object(name: &str) -> Object {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects").join(name);
    Object::parse(name, &fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{error}"))
}

#[allow(clippy::unnecessary_wraps)] // a `HelperCheck`
fn any_helper(_: &HelperUse<'_>) -> Result<(), String> {
    Ok(())
}

fn no_kfunc(_: &KfuncUse<'_>) -> Kfunc {
    Kfunc::Absent
}

fn attempt(object: &Object, options: &LoadOptions) -> (Machine, Attempt) {
    let mut machine = Machine::new(Release::V6_18, 4);
    let offered = Offered { helper: &any_helper, kfunc: &no_kfunc };
    let attempt = load_each(&mut machine, object, options, &offered).unwrap();
    (machine, attempt)
}

fn failures(attempt: &Attempt) -> Vec<String> {
    attempt.failed.iter().map(ToString::to_string).collect()
}

/// The slots of prog array `calls` that hold a program.
fn filled(machine: &mut Machine, attempt: &Attempt) -> Vec<u32> {
    let (maps, mut ctx) = machine.maps();
    let id = attempt.loaded.maps["calls"];
    (0..8).filter(|slot: &u32| maps.sys_lookup(&mut ctx, id, &slot.to_le_bytes(), 0).is_ok()).collect()
}

#[test]
fn old_map_definitions_are_read() {
    for (file, pinning) in [("legacy_short.o", 0), ("legacy_long.o", 2)] {
        let object = object(file);
        let maps: Vec<_> = object.maps.iter().map(|map| &map.spec).collect();
        let [counters, flows] = maps[..] else { panic!("{file}: {maps:?}") };
        assert_eq!((counters.name.as_str(), counters.map_type), ("counters", MapType::Array));
        assert_eq!((counters.key_size, counters.value_size, counters.max_entries), (4, 8, 2));
        assert_eq!((flows.name.as_str(), flows.map_type), ("flows", MapType::Hash));
        assert_eq!((flows.key_size, flows.value_size, flows.max_entries), (6, 4, 100));
        assert_eq!((flows.flags, flows.pinning), (1, pinning), "{file}");
        let (_, attempt) = attempt(&object, &LoadOptions::default());
        assert_eq!(failures(&attempt), [""; 0]);
        assert!(attempt.loaded.programs.contains_key("count") && attempt.loaded.maps.len() == 2);
    }
}

#[test]
fn entry_points_are_those_of_loaders_that_take_most() {
    let object = object("tagged.o");
    let programs: Vec<_> =
        object.programs.iter().map(|p| (p.name.as_str(), p.prog_type, p.autoload)).collect();
    let tc = ProgType::SchedCls;
    assert_eq!(
        programs,
        [
            ("three", tc, true),
            ("five", tc, true),
            ("no_slot", tc, true),
            ("no_map", tc, true),
            ("no_prog_array", tc, true),
            ("taken", tc, true),
            ("four", tc, false),
            ("entry_alias", tc, true),
            ("entry", tc, true),
            ("alone", ProgType::Xdp, true),
            ("untyped", ProgType::Unspec, true),
            ("tracing", ProgType::Tracing, true),
            ("implementation", ProgType::StructOps, true),
        ]
    );
    let of = |name| object.program(name).unwrap().function;
    assert_eq!(of("entry"), of("entry_alias"), "two names of one function");
    assert!(object.program("thrice").is_none(), "what is in .text is no entry point");
}

#[test]
fn tags_fill_the_slots_of_programs_that_are_loaded() {
    let object = object("tagged.o");
    let slot = |slot, program: &str| TailSlot { map: 0, slot, program: program.into() };
    assert_eq!(object.tails, [slot(3, "three"), slot(5, "five"), slot(4, "four")]);
    assert_eq!(
        object.notes,
        [
            "tag \"tail:calls\" of function \"no_slot\" fills no slot: it is not tail:<map>/<slot>",
            "tag \"tail:call/1\" of function \"no_map\" fills no slot: there is no map \"call\"",
            "tag \"tail:numbers/0\" of function \"no_prog_array\" fills no slot: map \"numbers\" is no prog array",
            "tag \"tail:calls/3\" of function \"taken\" fills no slot: it is taken by \"three\"",
        ]
    );
    let (mut machine, by_itself) = attempt(&object, &LoadOptions::default());
    assert_eq!(filled(&mut machine, &by_itself), [3, 5]);
    let asked = LoadOptions { programs: Some(vec!["entry".into(), "four".into()]), ..LoadOptions::default() };
    let (mut machine, asked) = attempt(&object, &asked);
    assert_eq!(failures(&asked), [""; 0], "an empty slot is no failure");
    assert_eq!(filled(&mut machine, &asked), [4]);
}

#[test]
fn what_fails_keeps_nothing_else_from_loading() {
    let mut object = object("tagged.o");
    let untyped = "program \"untyped\": section \"mine\" names no program type; use a name libbpf knows, such as \"tc\", \
                   \"xdp\" or \"cgroup_skb/ingress\"";
    let (_, by_itself) = attempt(&object, &LoadOptions::default());
    assert_eq!(failures(&by_itself), [untyped]);
    assert_eq!(
        by_itself.loaded.programs.len(),
        9,
        "all but those that fail, are not asked for, or only trace"
    );
    // By name even what cannot be simulated is tried, and says so.
    let asked = |names: [&str; 3]| LoadOptions {
        programs: Some(names.map(Into::into).to_vec()),
        ..LoadOptions::default()
    };
    let (_, named) = attempt(&object, &asked(["tracing", "untyped", "alone"]));
    let told = failures(&named);
    assert_eq!(told[0], untyped);
    assert_eq!(
        told[1],
        "program \"tracing\" is a BPF_PROG_TYPE_TRACING: it runs where the kernel's own code passes, and there is none \
         of that code here"
    );
    assert_eq!((told.len(), named.loaded.programs.len()), (2, 1));
    assert!(object.set_type("untyped", ProgType::SocketFilter));
    assert!(!object.set_type("nobody", ProgType::SocketFilter));
    assert_eq!(failures(&attempt(&object, &LoadOptions::default()).1), [""; 0]);
}

#[test]
fn custom_data_sections_are_maps_of_their_own() {
    let object = object("tagged.o");
    let maps: Vec<_> =
        object.maps.iter().map(|map| (map.spec.name.as_str(), map.kernel_name.as_str())).collect();
    assert_eq!(
        maps,
        [
            ("calls", "calls"),
            ("numbers", "numbers"),
            (".rodata.config", ".rodata.config"),
            (".bss.counters", ".bss.counters"),
            ("my_ops", "my_ops"),
        ]
    );
    assert_eq!(
        object.map("calls").unwrap().spec.pinning,
        16,
        "a number that means something to one loader only"
    );
    // What implements a part of the kernel is listed and not made.
    let ops = &object.map("my_ops").unwrap().spec;
    assert_eq!((ops.map_type, ops.value_size, ops.max_entries), (MapType::StructOps, 16, 1));
    assert!(!attempt(&object, &LoadOptions::default()).1.loaded.maps.contains_key("my_ops"));
}
