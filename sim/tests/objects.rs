//! Object files → what is in them, what loading them makes, and what is said about those that are refused.
//!
//! The objects are in `tests/objects/`, beside their C source and the script that compiles them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bpftwin_sim::bpf::FaultKind;
use bpftwin_sim::bpf::interp::run;
use bpftwin_sim::bpf::link::link;
use bpftwin_sim::bpf::load::{
    Global, HelperUse, Kfunc, KfuncLookup, KfuncUse, LoadOptions, Loaded, Offered, load,
};
use bpftwin_sim::bpf::machine::{Host, Machine};
use bpftwin_sim::bpf::mem::MAP_HANDLE_BASE;
use bpftwin_sim::bpf::object::{MapContents, Object, ObjectMap, Target};
use bpftwin_sim::bpf::uses::Uses;
use bpftwin_sim::uapi::{Errno, Release, helper};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/objects")
}

fn object(name: &str) -> Object {
    let bytes = fs::read(directory().join(name)).unwrap();
    Object::parse(name, &bytes).unwrap_or_else(|error| panic!("{error}"))
}

#[allow(clippy::unnecessary_wraps)] // a `HelperCheck`
fn any_helper(_: &HelperUse<'_>) -> Result<(), String> {
    Ok(())
}

fn no_kfunc(_: &KfuncUse<'_>) -> Kfunc {
    Kfunc::Absent
}

const ANYTHING: Offered<'static> = Offered { helper: &any_helper, kfunc: &no_kfunc };

fn loaded(object: &Object, options: &LoadOptions) -> (Machine, Loaded) {
    let mut machine = Machine::new(Release::V6_18, 4);
    let loaded = load(&mut machine, object, options, &ANYTHING).unwrap_or_else(|error| panic!("{error}"));
    (machine, loaded)
}

fn element(machine: &mut Machine, loaded: &Loaded, map: &str, key: u32) -> Result<Vec<u8>, Errno> {
    let (maps, mut ctx) = machine.maps();
    maps.sys_lookup(&mut ctx, loaded.maps[map], &key.to_le_bytes(), 0)
}

/// Everything about an object that fits a line each.
fn description(object: &Object) -> String {
    let mut text = format!("{} license={:?} version={:x?}\n", object.name, object.license, object.version);
    for ObjectMap { spec, kernel_name, contents, tags, .. } in &object.maps {
        let btf = object.btf.as_ref().unwrap();
        let types = (btf.describe(spec.key_type), btf.describe(spec.value_type));
        let contents = match contents {
            MapContents::Section(bytes) => format!("{} bytes", bytes.len()),
            other => format!("{other:?}"),
        };
        let fields: Vec<_> = spec.fields.iter().map(|f| (f.offset, f.kind)).collect();
        writeln!(
            text,
            "map {} ({kernel_name}) {} key={} value={} max={} flags={:#x} pin={} inner={:?} {types:?} {fields:?} {tags:?} \
             {contents}",
            spec.name,
            spec.map_type,
            spec.key_size,
            spec.value_size,
            spec.max_entries,
            spec.flags,
            spec.pinning,
            spec.inner.as_ref().map(|inner| (&inner.name, inner.map_type, inner.value_size)),
        )
        .unwrap();
    }
    for program in &object.programs {
        writeln!(
            text,
            "program {} SEC({:?}) {} {:?} autoload={} frags={}",
            program.name,
            program.section,
            program.prog_type,
            program.attach_type,
            program.autoload,
            program.xdp_frags
        )
        .unwrap();
    }
    for function in &object.functions {
        writeln!(
            text,
            "function {} in {} at {} slots={} global={}",
            function.name,
            function.section,
            function.section_slot,
            function.slots.len(),
            function.global
        )
        .unwrap();
        for relocation in &function.relocations {
            let target = match relocation.target {
                Target::Map(map) => object.maps[map].spec.name.clone(),
                Target::Data { map, offset } => format!("{} + {offset}", object.maps[map].spec.name),
                Target::Call(id) => format!("{}()", object.function(id).name),
                Target::Address(id) => format!("&{}", object.function(id).name),
                Target::ExternVar(index) => format!("extern {}", object.externs[index].name),
                Target::ExternCall(index) => format!("extern {}()", object.externs[index].name),
            };
            let line = function.line_of(relocation.slot).map_or(0, |line| line.line);
            writeln!(text, "    {:3} line {line}: {target}", relocation.slot).unwrap();
        }
    }
    for declared in &object.externs {
        writeln!(text, "extern {} weak={} {:?}", declared.name, declared.weak, declared.kind).unwrap();
    }
    text
}

#[test]
fn an_object_says_all_that_libbpf_reads_in_it() {
    insta::assert_snapshot!(description(&object("whole.o")));
}

#[test]
fn what_is_refused_is_told_with_place_and_advice() {
    let mut files: Vec<_> =
        fs::read_dir(directory().join("refused")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let no_pid = |used: &HelperUse<'_>| match used.helper {
        helper::id::get_current_pid_tgid => Err("bpf_get_current_pid_tgid is not for this type".to_owned()),
        _ => Ok(()),
    };
    let mut text = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let bytes = fs::read(&file).unwrap();
        let error = match Object::parse(name, &bytes) {
            Err(error) => error.to_string(),
            Ok(object) => {
                let mut machine = Machine::new(Release::V6_18, 4);
                let refused = load(
                    &mut machine,
                    &object,
                    &LoadOptions::default(),
                    &Offered { helper: &no_pid, kfunc: &no_kfunc },
                );
                refused.map(|_| name).expect_err("the object is refused").to_string()
            }
        };
        writeln!(text, "{name}: {error}\n").unwrap();
    }
    insta::assert_snapshot!(text);
}

#[test]
fn callers_mistakes_are_told_with_what_there_is() {
    let object = object("whole.o");
    let table = [
        LoadOptions { programs: Some(vec!["main".into()]), ..LoadOptions::default() },
        LoadOptions { max_entries: vec![("flow".into(), 1)], ..LoadOptions::default() },
        LoadOptions { globals: vec![global(".rodata.cfg", 0, &[1])], ..LoadOptions::default() },
        LoadOptions { globals: vec![global(".rodata", 2, &[1, 2, 3])], ..LoadOptions::default() },
        LoadOptions { kconfig: vec![("CONFIG_HZ".into(), "fast".into())], ..LoadOptions::default() },
        LoadOptions { max_entries: vec![("events".into(), 0)], ..LoadOptions::default() },
    ];
    let mut text = String::new();
    for options in table {
        let mut machine = Machine::new(Release::V6_18, 4);
        let error = load(&mut machine, &object, &options, &ANYTHING).map(|_| ()).unwrap_err();
        writeln!(text, "{error}\n").unwrap();
    }
    insta::assert_snapshot!(text);
}

fn global(section: &str, offset: u32, value: &[u8]) -> Global {
    Global { section: section.to_owned(), offset, value: value.to_vec() }
}

#[test]
fn functions_are_appended_where_they_are_first_mentioned() {
    let object = object("whole.o");
    let linked = link(&object, object.program("main_prog").unwrap());
    let names: Vec<_> = linked.functions.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["main_prog", "each", "thrice", "twice"]);
    for function in &linked.functions {
        let line = linked.line_of(function.start_slot).unwrap();
        assert!(line.text.contains(&format!("{}(", function.name)), "{}: {line}", function.name);
    }
    // Every call between functions arrives at the beginning of one.
    let mut calls = 0;
    for (slot, insn) in linked.instructions() {
        if insn & 0xffff == 0x1085 {
            let target = (i64::from(slot) + 1 + (insn as i64 >> 32)) as u32;
            assert!(linked.functions.iter().any(|f| f.start_slot == target), "call at {slot} to {target}");
            calls += 1;
        }
    }
    assert_eq!(calls, 2, "each → thrice, thrice → twice");
}

#[test]
fn data_sections_hold_their_initial_values_and_the_callers() {
    let object = object("whole.o");
    let options = LoadOptions {
        globals: vec![global(".rodata", 0, &9_u32.to_le_bytes()), global(".bss", 8, &[0xee])],
        ..LoadOptions::default()
    };
    let (mut machine, loaded) = loaded(&object, &options);
    let mut value = |map| element(&mut machine, &loaded, map, 0).unwrap();
    assert_eq!(value(".rodata"), 9_u32.to_le_bytes());
    assert_eq!(value(".rodata.config"), [80, 0, 0, 0, 0xbb, 1, 0, 0]);
    assert_eq!(value(".data"), 0x1122_3344_5566_7788_u64.to_le_bytes());
    assert_eq!(value(".data.paint"), 3_u32.to_le_bytes());
    let bss = value(".bss");
    assert!(bss.iter().enumerate().all(|(i, &byte)| byte == if i == 8 { 0xee } else { 0 }), "{bss:?}");

    let (maps, mut ctx) = machine.maps();
    let frozen = maps.sys_update(&mut ctx, loaded.maps[".rodata"], &[0; 4], &[0; 4], 0);
    assert_eq!(frozen, Err(Errno::EPERM));
    assert_eq!(maps.sys_update(&mut ctx, loaded.maps[".data.paint"], &[0; 4], &[0; 4], 0), Ok(()));
}

#[test]
fn kconfig_variables_hold_the_described_kernels_values() {
    let object = object("whole.o");
    let version = |options: &LoadOptions| {
        let (mut machine, loaded) = loaded(&object, options);
        let value = element(&mut machine, &loaded, ".kconfig", 0).unwrap();
        let word = |at: usize| u32::from_le_bytes(value[at..at + 4].try_into().unwrap());
        assert_eq!(value.len(), 9);
        // By alignment, size and name: CONFIG_HZ, LINUX_KERNEL_VERSION, CONFIG_BPF.
        (word(0), word(4), value[8])
    };
    assert_eq!(version(&LoadOptions::default()), (250, Release::V6_18.kernel_version(), 1));
    let options = LoadOptions {
        kconfig: vec![("CONFIG_HZ".into(), "1000".into()), ("CONFIG_BPF".into(), "n".into())],
        kernel_version: Some(0x060102),
        ..LoadOptions::default()
    };
    assert_eq!(version(&options), (1000, 0x060102, 0));
}

#[test]
fn prog_arrays_and_maps_of_maps_hold_what_their_definitions_say() {
    let object = object("whole.o");
    let (mut machine, loaded) = loaded(&object, &LoadOptions::default());
    let stages = loaded.maps["stages"];
    assert_eq!(machine.maps.map(stages).program(5), Some(loaded.programs["after"]));
    assert_eq!(machine.maps.map(stages).program(0), None);
    let id = |map: &str| loaded.maps[map].0.to_le_bytes();
    let known = [element(&mut machine, &loaded, "outer", 0), element(&mut machine, &loaded, "outer", 2)];
    assert_ne!(known[0], known[1], "{:?} and {:?}", id("first"), id("second"));
    assert!(known.iter().all(Result::is_ok), "{known:?}");
    assert_eq!(element(&mut machine, &loaded, "outer", 1), Err(Errno::ENOENT));
    // max_entries of a perf event array without any is the number of CPUs; a ring is a power of two of pages.
    assert_eq!(machine.maps.spec(loaded.maps["perf"]).max_entries, 4);
    assert_eq!(machine.maps.spec(loaded.maps["events"]).max_entries, 8192);
}

#[test]
fn references_become_addresses() {
    let object = object("whole.o");
    let (machine, loaded) = loaded(&object, &LoadOptions::default());
    let program = &machine.programs[loaded.programs["after"].0 as usize];
    let linked = link(&object, object.program("after").unwrap());
    for reference in &linked.references {
        let slot = reference.slot as usize;
        let [low, high] = [slot, slot + 1].map(|slot| program.image().slots[slot]);
        let address = low >> 32 | high >> 32 << 32;
        assert_eq!(low >> 12 & 0xf, 0, "source register");
        match reference.target {
            Target::Map(map) => {
                let id = loaded.maps[&object.maps[map].spec.name];
                assert_eq!(address, MAP_HANDLE_BASE + u64::from(id.0) * 16);
            }
            Target::ExternVar(_) => assert!(machine.mem.load(address, 1).is_ok(), "{address:#x}"),
            ref other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(linked.references.len(), 4, "one map, three __kconfig variables");
}

#[test]
fn weak_symbols_that_are_absent_are_zero_and_named() {
    let object = object("whole.o");
    let options =
        LoadOptions { programs: Some(vec!["optional".into(), "after".into()]), ..LoadOptions::default() };
    let (machine, loaded) = loaded(&object, &options);
    assert_eq!(loaded.absent, ["weak_function", "weak_variable"]);
    assert_eq!(loaded.programs.keys().collect::<Vec<_>>(), ["after", "optional"]);
    assert!(machine.programs[loaded.programs["optional"].0 as usize].image().xdp_has_frags);
}

#[test]
fn uses_are_counted_through_every_function_reached() {
    let object = object("whole.o");
    let uses = Uses::of(&object, object.program("main_prog").unwrap());
    let calls: Vec<_> = uses.helpers.iter().map(|(&id, calls)| (id, calls.count)).collect();
    assert_eq!(calls, [(helper::id::tail_call, 1), (helper::id::loop_, 1)]);
    assert!(uses.helpers[&helper::id::loop_].line.as_ref().unwrap().text.contains("bpf_loop(4"));
    let maps: Vec<_> = uses.maps.iter().map(String::as_str).collect();
    assert_eq!(maps, [".bss", ".data", ".data.paint", ".rodata", ".rodata.config", "stages"]);
    let uses = Uses::of(&object, object.program("optional").unwrap());
    assert_eq!(uses.kfuncs.into_iter().collect::<Vec<_>>(), [("weak_function".to_owned(), true)]);
    assert_eq!(uses.variables.into_iter().collect::<Vec<_>>(), [("weak_variable".to_owned(), true)]);
}

/// A kernel with one function, `kernel_add`, whose number is 7.
struct Adds;

impl Host for Adds {
    fn helper(&mut self, _: &mut Machine, id: u32, _: [u64; 5]) -> Result<u64, FaultKind> {
        panic!("helper {id}")
    }

    fn kfunc(&mut self, _: &mut Machine, id: u32, args: [u64; 5]) -> Result<u64, FaultKind> {
        assert_eq!(id, 7);
        Ok(args[0] + args[1])
    }

    fn ctx_load(&mut self, _: &mut Machine, _: u32, _: u32) -> Result<u64, FaultKind> {
        Ok(0)
    }

    fn ctx_store(&mut self, _: &mut Machine, _: u32, _: u32, _: u64) -> Result<(), FaultKind> {
        Ok(())
    }
}

#[test]
fn kernel_functions_are_found_by_name_and_called_by_number() {
    let object = object("kfuncs.o");
    let mut machine = Machine::new(Release::V6_18, 1);
    let kfunc = |used: &KfuncUse<'_>| match used.kfunc {
        "kernel_add" => Kfunc::Number(7),
        _ => Kfunc::Absent,
    };
    let offered = Offered { helper: &any_helper, kfunc: &kfunc };
    let loaded = load(&mut machine, &object, &LoadOptions::default(), &offered).unwrap();
    assert_eq!(loaded.absent, ["kernel_gone"]);
    let ran = run(&mut machine, &mut Adds, loaded.programs["calls"], 100).unwrap();
    assert_eq!(ran.r0, 13, "1 + 2, and 10 more by the weak one that is there");
}

#[test]
fn kernel_functions_that_cannot_be_called_are_refused_by_name() {
    let object = object("kfuncs.o");
    let refused = |kfunc: &KfuncLookup<'_>| {
        let mut machine = Machine::new(Release::V6_18, 1);
        let offered = Offered { helper: &any_helper, kfunc };
        load(&mut machine, &object, &LoadOptions::default(), &offered).map(|_| ()).unwrap_err().to_string()
    };
    let absent = refused(&no_kfunc);
    assert!(absent.contains("kernel function \"kernel_add\" is unknown"), "{absent}");
    // A weak one that the kernel has is there, so that leaving it out would be a lie.
    let weak = refused(&|used: &KfuncUse<'_>| match used.kfunc {
        "kernel_add" => Kfunc::Number(7),
        _ => Kfunc::Refused("is not modelled".into()),
    });
    assert!(weak.contains("kernel function \"kernel_gone\" is not modelled"), "{weak}");
}
