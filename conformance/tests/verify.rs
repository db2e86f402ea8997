//! `bpftwin verify`: exit codes and what it says, with a stand-in for the kernel.

mod rig;

use bpftwin_conformance::verify::protocol::{Answer, Counts, LineSeen, Place, Rejection, Seen, Verdict};
use bpftwin_conformance::verify::report::CSV_HEADER;
use rig::{Ran, Rig};

fn seen(program: &str, insns: u64) -> Seen {
    let line = |line: u32, text: &str, visits| LineSeen {
        place: Place { file: "./a.bpf.c".into(), line, text: text.into() },
        visits,
        states: visits / 2,
    };
    Seen {
        program: program.into(),
        prog_type: "sched_cls".into(),
        attach_type: "cgroup_inet_ingress".into(),
        verdict: Verdict::Success,
        reason: String::new(),
        counts: Counts { insns, states: 9, peak_states: 8, max_states_per_insn: 2, mark_read: 0, time: 77 },
        stack: vec![40, 8],
        deepest: 64,
        maps: 3,
        size: 120,
        jited: 600,
        memory: 4096,
        lines: vec![line(7, "for (;;)", insns - 10), line(9, "return 0;", 10)],
        rejection: None,
    }
}

fn rejected(program: &str) -> Seen {
    let log = "0: R1=ctx() R10=fp0\n0: (61) r1 = *(u32 *)(r1 +76)   ; R1_w=pkt(r=0)\n1: (71) r0 = *(u8 *)(r1 +0)\n\
               invalid access to packet, off=0 size=1, R1(id=0,off=0,r=0)\nverification time 9 usec\n";
    let place = Place { file: "a.bpf.c".into(), line: 2, text: "return *(char *)data;".into() };
    Seen {
        verdict: Verdict::Failure,
        reason: "invalid access to packet".into(),
        rejection: Some(Rejection { log: log.into(), places: vec![(0, place.clone()), (1, place)] }),
        ..seen(program, 100)
    }
}

/// A kernel that answers every time with these programs.
fn answers(rig: &Rig, kernel: &str, seen: &[Seen]) {
    let mut answers = vec![Answer::Begin { kernel: kernel.into() }];
    answers.extend(seen.iter().map(|seen| Answer::Program(Box::new(seen.clone()))));
    answers.push(Answer::End { programs: seen.len() });
    let lines: String = answers.iter().map(|answer| serde_json::to_string(answer).unwrap() + "\n").collect();
    let file = rig.write("answers.jsonl", lines);
    rig.kernel_script(&format!("[ \"$1\" = --verify ] || exit 2\ncat > /dev/null\ncat {}", file.display()));
}

fn check(ran: &Ran, code: i32, says: &[&str]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    for says in says {
        assert!(ran.stdout.contains(says) || ran.stderr.contains(says), "{says}: {ran:?}");
    }
}

#[test]
fn a_table_a_csv_and_lines_of_json() {
    let rig = Rig::new();
    answers(&rig, "6.18.44-x", &[seen("main", 1000)]);
    check(&rig.bpftwin(&["verify", "datapath:veth"]), 0, &["veth.o:main", "1000", "success"]);
    let ran = rig.bpftwin(&["verify", "datapath:veth", "--csv", "-"]);
    let row = "veth.o,main,success,77,1000,9,8,2,0,120,600,sched_cls,cgroup_inet_ingress,48,-1";
    assert_eq!(ran.stdout, format!("{CSV_HEADER}\n{row}\n"));
    check(&rig.bpftwin(&["verify", "datapath:veth", "--csv", "out.csv", "--llvm", "19.1.7"]), 0, &[]);
    let sidecar = std::fs::read_to_string(rig.path("out.csv.json")).unwrap();
    let sidecar: serde_json::Value = serde_json::from_str(&sidecar).unwrap();
    assert_eq!(sidecar["kernel"], "6.18.44-x");
    assert_eq!(sidecar["llvm"]["veth.o"], "19.1.7");
    let ran = rig.bpftwin(&["verify", "datapath:veth", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(ran.stdout.trim()).unwrap();
    assert_eq!((&json["v"], &json["key"]["kernel"]), (&1.into(), &"6.18".into()));
}

#[test]
fn exit_1_a_rejected_program_is_explained() {
    let rig = Rig::new();
    rig.write("a.bpf.c", "int f(void *data) {\n\treturn *(char *)data;\n}\n");
    answers(&rig, "6.18.44", &[rejected("main")]);
    let says = [
        "is rejected: invalid access to packet",
        ">     2 |     return *(char *)data;",
        "R1 held the packet, of which nothing was compared with data_end",
    ];
    check(&rig.bpftwin(&["verify", "datapath:veth"]), 1, &says);
}

#[test]
fn a_gate_says_0_5_1_77() {
    let rig = Rig::new();
    let gate = |arguments: &[&str]| rig.bpftwin(&[&["verify", "gate", "datapath:veth"], arguments].concat());
    answers(&rig, "6.18.44", &[seen("main", 1000)]);
    check(&rig.bpftwin(&["verify", "record", "datapath:veth"]), 0, &["verify.lock written"]);
    let first = std::fs::read(rig.path("verify.lock")).unwrap();
    check(&rig.bpftwin(&["verify", "record", "datapath:veth"]), 0, &["unchanged"]);
    assert_eq!(std::fs::read(rig.path("verify.lock")).unwrap(), first);
    check(&gate(&[]), 0, &["1 as recorded"]);
    answers(&rig, "6.18.45", &[seen("main", 1400)]);
    check(&gate(&[]), 0, &["1 within their budget"]);
    answers(&rig, "6.18.44", &[seen("main", 1600)]);
    let says = ["over         veth.o:main (default, kernel 6.18)", "+600 (now 1590)  a.bpf.c:7  for (;;)"];
    check(&gate(&[]), 5, &says);
    check(&gate(&["--format", "github"]), 5, &["::error file=a.bpf.c,line=7,title=veth.o main::"]);
    check(&gate(&["--format", "json"]), 5, &[r#""status":"over""#]);
    answers(&rig, "6.18.44", &[seen("main", 1000), seen("other", 20)]);
    check(&gate(&[]), 1, &["not recorded veth.o:other"]);
    answers(&rig, "6.18.44", &[seen("other", 20)]);
    check(&gate(&[]), 1, &["gone         veth.o:main"]);
    answers(&rig, "6.12.1", &[seen("main", 9000)]);
    check(&gate(&[]), 77, &["not compared: 1: no such kernel here"]);
    check(&gate(&["--lock", "none.lock"]), 2, &["none.lock"]);
}

#[test]
fn lines_that_cost_and_lines_that_grew() {
    let rig = Rig::new();
    answers(&rig, "6.18.44", &[seen("main", 1000)]);
    check(&rig.bpftwin(&["verify", "top", "datapath:veth"]), 0, &["990  99.0 %", "a.bpf.c:7  for (;;)"]);
    check(&rig.bpftwin(&["verify", "record", "datapath:veth"]), 0, &[]);
    check(&rig.bpftwin(&["verify", "why", "verify.lock", "datapath:veth"]), 0, &["nothing grew"]);
    answers(&rig, "6.18.44", &[seen("main", 1100)]);
    check(&rig.bpftwin(&["verify", "diff", "verify.lock", "datapath:veth"]), 0, &["+100 (+10.0 %)"]);
    check(&rig.bpftwin(&["verify", "why", "verify.lock", "datapath:veth"]), 0, &["+100 (now 1090)"]);
}

#[test]
fn exit_2_bad_usage() {
    let rig = Rig::new();
    answers(&rig, "6.18.44", &[seen("main", 1000)]);
    rig.write("bad.lock", "version = 9\n");
    rig.write("bad.toml", "[a]\nnothing = 1\n");
    for arguments in [
        &["verify"][..],
        &["verify", "nowhere.o"],
        &["verify", "datapath:veth", "datapath:veth"],
        &["verify", "datapath:veth", "--config", "nothing=1"],
        &["verify", "datapath:veth", "--config", "config"],
        &["verify", "datapath:veth", "--configs", "bad.toml"],
        &["verify", "datapath:veth", "--format", "junit"],
        &["verify", "gate", "--lock", "bad.lock", "datapath:veth"],
    ] {
        check(&rig.bpftwin(arguments), 2, &[]);
    }
}

#[test]
fn exit_69_a_kernel_that_cannot_be_asked() {
    let rig = Rig::new();
    check(&rig.bpftwin(&["verify", "datapath:veth"]), 69, &["bpftwin-kernel"]);
    for script in ["echo no CAP_BPF >&2; exit 69", "kill -9 $$", "echo nonsense", "exit 0"] {
        rig.kernel_script(script);
        check(&rig.bpftwin(&["verify", "datapath:veth"]), 69, &["doctor"]);
    }
}

#[test]
fn exit_77_nothing_was_verified() {
    let rig = Rig::new();
    let reason = "ESRCH: no such target".to_owned();
    answers(&rig, "6.18.44", &[Seen { verdict: Verdict::Unloadable, reason, ..seen("main", 100) }]);
    check(&rig.bpftwin(&["verify", "datapath:veth"]), 77, &["is not verified: ESRCH: no such target"]);
}
