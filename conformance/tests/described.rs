//! Objects for a kernel that is described: its types, its configuration, and what programs are; on the command line and in
//! scenario files.

mod rig;

use rig::Rig;

/// An object of the simulator's tests.
fn object(name: &str) -> String {
    format!("{}/../sim/tests/objects/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn types_of_programs_are_given() {
    let (rig, tagged) = (Rig::new(), object("tagged.o"));
    let objects = |arguments: &[&str]| rig.bpftwin(&[&["objects", &tagged], arguments].concat());
    let ran = objects(&[]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("section \"mine\" names no program type"), "{ran:?}");
    let ran = objects(&["--type", "untyped=socket_filter"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("untyped                  BPF_PROG_TYPE_SOCKET_FILTER"), "{ran:?}");
    // What only implements or traces a part of the kernel is listed with the reason.
    assert!(ran.stdout.contains("(declined: it implements a part of the kernel"), "{ran:?}");
    assert!(ran.stdout.contains("(declined: it runs where the kernel's own code passes"), "{ran:?}");
    for (wrong, said) in [
        ("nobody=xdp", "has no program nobody"),
        ("untyped=packets", "there is no program type BPF_PROG_TYPE_PACKETS"),
        ("untyped", "expected PROGRAM=TYPE"),
    ] {
        let ran = objects(&["--type", wrong]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(said), "{ran:?}");
    }
}

#[test]
fn the_kernels_types_are_read_from_a_file() {
    let (rig, core, kernel) = (Rig::new(), object("core.o"), object("core_kernel.o"));
    // The user-space ABI has not what the object asks for; the kernel described has.
    let ran = rig.bpftwin(&["objects", &core]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("(CO-RE)"), "{ran:?}");
    let ran = rig.bpftwin(&["objects", &core, "--btf", &kernel]);
    assert!(ran.stdout.contains("offset_moved"), "{ran:?}");
    assert!(!ran.stdout.contains("\"offset_moved\", instruction"), "{ran:?}");
    let ran = rig.bpftwin(&["objects", &core, "--btf", "nowhere"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("nowhere: No such file"), "{ran:?}");
}

#[test]
fn the_kernels_configuration_is_read_from_a_file() {
    let (rig, unset) = (Rig::new(), object("refused/config_not_set.o"));
    let ran = rig.bpftwin(&["objects", &unset]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.stdout.contains("\"CONFIG_LOG_BUF_SHIFT\": is not set"), "{ran:?}");
    rig.write("config", "# a comment\nCONFIG_LOG_BUF_SHIFT=17\n");
    let ran = rig.bpftwin(&["objects", &unset, "--kconfig", "config"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    rig.write("config", "CONFIG_A=y\nB=y\n");
    let ran = rig.bpftwin(&["objects", &unset, "--kconfig", "config"]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    assert!(ran.stderr.contains("config: line 2 is no CONFIG_"), "{ran:?}");
}

/// A scenario with one packet of 20 bytes through `program` of `object`.
fn scenario(object: &str, header: &str, retval: u32) -> String {
    format!(
        "[scenario]\ntitle = \"described\"\nobjects = {{ o = \"{object}\" }}\n{header}\n\n[[packet]]\nhex = \"{}\"\n\
         expect = {{ retval = {retval} }}\n",
        "00".repeat(20)
    )
}

#[test]
fn scenarios_describe_the_kernel() {
    let rig = Rig::new();
    let config = object("refused/config_not_set.o");
    let header = "program = \"prog\"\nkconfig = { CONFIG_LOG_BUF_SHIFT = \"17\" }";
    rig.write("config.toml", scenario(&config, header, 17));
    rig.write("plain.toml", scenario(&config, "program = \"prog\"", 18));
    rig.write("config", "CONFIG_LOG_BUF_SHIFT=18\n");
    // Programs of socket filters see a frame without its 14 bytes of Ethernet header.
    let tagged = object("tagged.o");
    let header = "program = \"untyped\"\ntypes = { untyped = \"socket_filter\" }";
    rig.write("types.toml", scenario(&tagged, header, 18));
    rig.write("untyped.toml", scenario(&tagged, "program = \"untyped\"", 18));
    for (arguments, code) in [
        (&["run", "config.toml"][..], 0),
        (&["run", "plain.toml"], 77),
        (&["run", "plain.toml", "--kconfig", "config"], 0),
        // What is said last counts.
        (&["run", "config.toml", "--kconfig", "config"], 1),
        (&["run", "types.toml"], 0),
        (&["run", "untyped.toml"], 2),
        (&["run", "untyped.toml", "--type", "untyped=socket_filter"], 0),
        (&["run", "config.toml", "--type", "nobody=xdp"], 2),
    ] {
        let ran = rig.bpftwin(arguments);
        assert_eq!(ran.code, Some(code), "{arguments:?}: {ran:?}");
    }
    let wrong = [
        ("types = { nobody = \"xdp\" }", "no program `nobody`"),
        ("types = { prog = \"packets\" }", "no program type BPF_PROG_TYPE_PACKETS"),
        ("kconfig = { LOG = \"1\" }", "names begin with CONFIG_"),
        ("btf = \"nowhere\"", "nowhere"),
    ];
    for (header, said) in wrong {
        rig.write("wrong.toml", scenario(&config, &format!("program = \"prog\"\n{header}"), 0));
        let ran = rig.bpftwin(&["check", "wrong.toml"]);
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!((ran.stderr.clone() + &ran.stdout).contains(said), "{header}: {ran:?}");
    }
}
