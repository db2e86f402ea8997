//! Cases in, observations out. Needs CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON and CAP_SYS_ADMIN.

mod rig;

use bpftwin_conformance::case::{Global, MapValue, MapWrite};
use bpftwin_conformance::observation::{Event, MapChange, Outcome, Record, Report};
use bpftwin_kernel_tests::sys::possible_cpus;
use rig::{LOCKED, PROBE, REJECTED, binary, case, feed, marked, plain, report, retval, seen};

const PACKET: [u8; 20] = [0x33; 20];

fn change(map: &str, key: u32, value: Option<&[u8]>) -> MapChange {
    MapChange {
        object: "o".into(),
        map: map.into(),
        key: key.to_le_bytes().to_vec().into(),
        value: value.map(|value| value.to_vec().into()),
    }
}

fn record(map: &str, data: &[u8]) -> Record {
    Record { object: "o".into(), map: map.into(), data: data.to_vec().into() }
}

/// The value of a per-CPU element whose CPU 0 holds `value`.
fn on_cpu_0(value: u32) -> Vec<u8> {
    let mut bytes = value.to_le_bytes().to_vec();
    bytes.resize(8 * possible_cpus() as usize, 0);
    bytes
}

fn write(map: &str, key: u32, value: MapValue) -> MapWrite {
    MapWrite { object: "o".into(), map: map.into(), key: key.to_le_bytes().to_vec().into(), value }
}

fn bytes(value: u32) -> MapValue {
    MapValue::Bytes(value.to_le_bytes().to_vec().into())
}

#[test]
fn every_run_tells_what_it_changed_and_the_end_tells_all() {
    let short = &PACKET[..14];
    let mut case = case(
        PROBE,
        &["classify"],
        vec![marked("classify", &PACKET, 5), marked("classify", short, 5), plain("classify", &short[..13])],
    );
    case.maps =
        vec![write("first", 0, bytes(10)), write("second", 0, bytes(20)), write("cpu_counts", 0, bytes(70))];
    case.objects[0].globals =
        vec![Global { section: ".data".into(), offset: 0, value: 3u32.to_le_bytes().to_vec().into() }];
    let seen = seen(&case);
    assert_eq!(
        (seen.begin.plane.as_str(), seen.begin.cpu, seen.begin.nr_cpus),
        ("prog-run", 0, possible_cpus())
    );

    let Outcome::Done { retval, data, ctx } = &seen.runs[0].outcome else { panic!("{:?}", seen.runs[0]) };
    assert_eq!((*retval, &data[..], ctx.len()), (10, &PACKET[..], 192), "the first inner map holds 10");
    assert_eq!(ctx[8..12], 6u32.to_le_bytes(), "the mark went up");
    assert_eq!(
        seen.runs[0].maps,
        [
            change(".bss", 0, Some(&20u32.to_le_bytes())),
            change("counts", 0, Some(&3u64.to_le_bytes())),
            change(
                "cpu_counts",
                0,
                Some(&[&71u32.to_le_bytes(), &[0; 4], &70u32.to_le_bytes()[..], &[0; 4]].concat())
            ),
            change("seen", 5, Some(&20u32.to_le_bytes())),
        ]
    );
    // Size and bytes of a perf record together are a multiple of 8: 4 + 3 bytes of the packet, then padding.
    let perf = [&5u32.to_le_bytes()[..], &PACKET[..3], &[0; 5]].concat();
    assert_eq!(
        seen.runs[0].records,
        [record("events", &perf), record("ring", &[20, 0, 0]), record("ring", &[5, 0, 0, 0])]
    );

    let gone = seen.runs[1].maps.iter().find(|change| change.map == "seen").expect("a change");
    assert_eq!((gone.key[0], &gone.value), (5, &None), "a frame of 14 bytes deletes the element");
    assert_eq!(seen.runs[2].outcome, Outcome::Errno(22), "13 bytes are no frame");
    assert_eq!((&seen.runs[2].maps[..], &seen.runs[2].records[..]), (&[][..], &[][..]));

    let all: Vec<_> = seen.end.maps.iter().map(|change| (change.map.as_str(), change.key[0])).collect();
    assert_eq!(
        all,
        [(".bss", 0), (".data", 0), ("counts", 0), ("cpu_counts", 0), ("first", 0), ("second", 0)],
        "zero elements of arrays are left out, and the hash is empty"
    );
    let unread: Vec<_> = seen.end.unread.iter().map(|unread| unread.map.as_str()).collect();
    assert_eq!(unread, ["events", "outer", "queue", "ring", "stages"]);
}

#[test]
fn globals_inner_maps_and_tail_calls_are_as_the_case_says() {
    let mut case = case(
        PROBE,
        &[],
        vec![plain("classify", &PACKET), plain("dispatch", &PACKET), plain("prefilter", &PACKET)],
    );
    case.objects[0].globals =
        vec![Global { section: ".rodata".into(), offset: 0, value: 100u32.to_le_bytes().to_vec().into() }];
    case.maps = vec![
        write("second", 0, bytes(20)),
        write("outer", 0, MapValue::Map("second".into())),
        write("stages", 1, MapValue::Program("stage".into())),
        write("limits", 0, bytes(1)),
    ];
    let seen = seen(&case);
    let retvals: Vec<_> = seen.runs.iter().map(|run| retval(&run.outcome)).collect();
    assert_eq!(retvals, [120, PACKET.len() as u32, 1]);
    assert!(
        matches!(&seen.runs[0].outcome, Outcome::Done { ctx, .. } if ctx.is_empty()),
        "none in, none out"
    );
    let limits: Vec<_> = seen.end.maps.iter().filter(|change| change.map == "limits").collect();
    assert_eq!(
        limits,
        [&change("limits", 0, Some(&1u32.to_le_bytes()))],
        "read-only maps are told at the end"
    );
    assert_eq!(
        seen.runs[0].maps.iter().find(|change| change.map == "cpu_counts"),
        Some(&change("cpu_counts", 0, Some(&on_cpu_0(1))))
    );
}

#[test]
fn arrays_that_cannot_be_mapped_are_read_all_the_same() {
    let seen = seen(&case(LOCKED, &[], vec![plain("count", &PACKET); 2]));
    let changed: Vec<_> = seen.runs.iter().map(|run| run.maps.clone()).collect();
    let value = |count: u8| [count, 0, 0, 0, 0, 0, 0, 0];
    assert_eq!(changed[0], [change("direct", 0, Some(&value(1))), change("inner", 0, Some(&value(2)))]);
    assert_eq!(changed[1], [change("direct", 0, Some(&value(2))), change("inner", 0, Some(&value(4)))]);
}

#[test]
fn a_rejected_program_is_declined_with_the_verifier_log() {
    let Report::Declined(decline) = report(&case(REJECTED, &[], vec![])) else { panic!("it was loaded") };
    assert!(decline.reason.contains("object o") && decline.reason.contains("careless"), "{}", decline.reason);
    assert!(decline.log.contains("invalid access to packet"), "{}", decline.log);
    let seen = seen(&case(REJECTED, &["careful"], vec![plain("careful", &PACKET)]));
    assert_eq!(retval(&seen.runs[0].outcome), 20, "left out, the bad program does no harm");
    let Report::Declined(decline) = report(&case(b"not an object", &[], vec![])) else { panic!("opened") };
    assert!(decline.reason.contains("cannot be opened"), "{}", decline.reason);
}

#[test]
fn many_cases_need_one_process() {
    let good =
        serde_json::to_string(&case(PROBE, &["stage"], vec![plain("stage", &PACKET)])).expect("serialises");
    let bad = serde_json::to_string(&case(REJECTED, &["careless"], vec![])).expect("serialises");
    let answer = feed(&mut binary(), &[good.as_str(), &bad, &good].join("\n"));
    assert_eq!(answer.code, Some(0), "{}", answer.err);
    let kinds: String = answer
        .events()
        .iter()
        .map(|event| match event {
            Event::Begin(_) => 'b',
            Event::Run(_) => 'r',
            Event::End(_) => 'e',
            Event::Decline(_) => 'd',
        })
        .collect();
    assert_eq!(kinds, "bre".to_owned() + "bd" + "bre");
    assert_eq!(answer.err, "", "libbpf's messages belong into the log");
}

#[test]
fn a_wrong_case_says_where() {
    let good = case(PROBE, &["stage"], vec![plain("stage", &PACKET)]);
    let json = serde_json::to_string(&good).expect("serialises");
    let cut = &json[..json.len() - 2];
    let mut cases = vec![
        (format!("{json}\n{cut}"), "case 1: EOF while parsing"),
        (
            json.replace("\"repeat\":1", "\"repeat\":\"x\""),
            "case 0: invalid type: string \"x\", expected u32 at line 1",
        ),
        (json.replace("\"flags\"", "\"flegs\""), "unknown field `flegs`"),
    ];
    let mut with = |change: fn(&mut bpftwin_conformance::case::Case), message| {
        let mut case = good.clone();
        change(&mut case);
        cases.push((serde_json::to_string(&case).expect("serialises"), message));
    };
    with(
        |c| c.runs[0].program = "stags".into(),
        "case \"a test\": object o has no loaded program stags; it has stage",
    );
    with(|c| c.runs[0].object = "p".into(), "run \"a run\": there is no object p");
    with(|c| c.objects[0].programs.push("x".into()), "object o has no program x; it has classify, ");
    with(|c| c.objects.push(c.objects[0].clone()), "two objects have the same name");
    with(|c| c.maps.push(write("limit", 0, bytes(0))), "object o has no map limit; it has .bss, ");
    with(
        |c| c.maps.push(write("counts", 0, bytes(0))),
        "o:counts[00000000]: a value of 4 bytes, the map's has 8",
    );
    with(
        |c| {
            c.objects[0].globals.push(Global {
                section: ".data".into(),
                offset: 2,
                value: vec![0; 4].into(),
            });
        },
        "object o: bytes 2..6 are outside .data of 4 bytes",
    );
    for (input, message) in cases {
        let answer = feed(&mut binary(), &input);
        assert_eq!(answer.code, Some(2), "{message}: {}", answer.err);
        assert!(answer.err.contains(message), "wanted {message:?} in {}", answer.err);
    }
}

#[test]
fn an_element_the_kernel_refuses_is_declined() {
    let mut case = case(PROBE, &["stage"], vec![]);
    case.maps = vec![write("counts", 4, MapValue::Bytes(vec![0; 8].into()))];
    let Report::Declined(decline) = report(&case) else { panic!("it was taken") };
    assert!(decline.reason.contains("o:counts[04000000]: BPF_MAP_UPDATE_ELEM: -E2BIG"), "{}", decline.reason);
}

#[test]
fn lost_records_are_harness_trouble() {
    let flood = case(PROBE, &["flood"], vec![plain("flood", &PACKET)]);
    let answer = feed(&mut binary(), &serde_json::to_string(&flood).expect("serialises"));
    assert_eq!(answer.code, Some(69), "{}", answer.err);
    assert!(answer.err.contains("o:events: more than 196608 bytes of records"), "{}", answer.err);
}

#[test]
fn ten_thousand_runs() {
    let runs = (0..10_000).map(|mark| marked("classify", &PACKET, mark % 7)).collect();
    let start = std::time::Instant::now();
    let seen = seen(&case(PROBE, &["classify"], runs));
    eprintln!("10,000 runs of one object with 12 maps: {:?}", start.elapsed());
    assert_eq!(seen.runs.len(), 10_000);
    let counts = seen.end.maps.iter().find(|change| change.map == "counts").expect("counted");
    assert_eq!(counts.value.as_deref(), Some(&10_000u64.to_le_bytes()[..]));
    for run in &seen.runs {
        assert_eq!(
            (run.records.len(), &run.records[0].data[7..]),
            (3, &[0; 5][..]),
            "padding is zero: {run:?}"
        );
        assert!(!run.maps.is_empty());
    }
}
