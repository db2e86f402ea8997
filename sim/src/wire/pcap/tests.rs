use proptest::prelude::*;

use super::*;

const FRAME: [u8; 14] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6];

/// A classic capture of two frames, written by hand.
fn pcap(magic: u32, big: bool, fraction: u32) -> Vec<u8> {
    let word = |value: u32| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let half = |value: u16| if big { value.to_be_bytes() } else { value.to_le_bytes() };
    let header = [&word(magic)[..], &half(2), &half(4), &word(0), &word(0), &word(65535), &word(1)].concat();
    let record =
        |len: usize| [&word(7)[..], &word(fraction), &word(len as u32), &word(100), &FRAME[..len]].concat();
    [header, record(14), record(5)].concat()
}

/// A pcapng file with all that [`Writer`] can write.
fn pcapng() -> Vec<u8> {
    let mut file = Writer::new();
    let ingress = file.interface("n1:eth0/tc-ingress");
    let xdp = file.interface("n1:eth0/xdp");
    let plain = Record {
        interface: ingress,
        time_ns: 1_000_000_000_000,
        data: &FRAME,
        comment: None,
        packet_id: None,
        verdict: None,
    };
    file.packet(&plain);
    file.packet(&Record {
        interface: xdp,
        time_ns: 1_000_000_001_000,
        data: &FRAME[..13],
        comment: Some("from_container: dropped"),
        packet_id: Some(0x0102_0304_0506_0708),
        verdict: Some(Verdict::Xdp(1)),
    });
    file.packet(&Record { verdict: Some(Verdict::Tc(-1)), ..plain });
    file.into_bytes()
}

#[test]
fn classic_of_both_orders_and_resolutions() {
    for (magic, big, ns) in [
        (0xa1b2c3d4, false, 7_000_123_000),
        (0xa1b2c3d4, true, 7_000_123_000),
        (0xa1b23c4d, false, 7_000_000_123),
        (0xa1b23c4d, true, 7_000_000_123),
    ] {
        let file = pcap(magic, big, 123);
        let packets = read(&file).unwrap();
        assert_eq!(packets.len(), 2);
        assert_eq!((packets[0].number, packets[0].offset, packets[0].data), (1, 24, &FRAME[..]));
        assert_eq!((packets[1].number, packets[1].offset, packets[1].data), (2, 54, &FRAME[..5]));
        assert_eq!((packets[1].time_ns, packets[1].original_len), (ns, 100));
    }
}

#[test]
fn what_is_written_is_read() {
    let file = pcapng();
    let packets = read(&file).unwrap();
    let [plain, xdp, tc] = &packets[..] else { panic!("{} packets", packets.len()) };
    assert_eq!((plain.interface, plain.time_ns, plain.data), (0, 1_000_000_000_000, &FRAME[..]));
    assert_eq!((plain.comments.len(), plain.packet_id, plain.verdict), (0, None, None));
    assert_eq!((xdp.interface, xdp.time_ns, xdp.data), (1, 1_000_000_001_000, &FRAME[..13]));
    assert_eq!(xdp.comments, ["from_container: dropped"]);
    assert_eq!(xdp.packet_id, Some(0x0102_0304_0506_0708));
    assert_eq!(xdp.verdict, Some(&[2, 1, 0, 0, 0, 0, 0, 0, 0][..]));
    assert_eq!(tc.verdict, Some(&[1, 255, 255, 255, 255, 255, 255, 255, 255][..]));
    assert_eq!(pcapng(), file, "the same calls give the same bytes");
}

#[test]
fn long_names_and_comments_are_cut_at_a_character() {
    let text = "ü".repeat(40_000);
    let mut file = Writer::new();
    let interface = file.interface(&text);
    let comment = Some(&text[..]);
    file.packet(&Record { interface, time_ns: 0, data: &[], comment, packet_id: None, verdict: None });
    let file = file.into_bytes();
    assert_eq!(read(&file).unwrap()[0].comments, ["ü".repeat(32_767)]);
}

/// The classic capture with 4 bytes replaced.
fn patched(at: usize, bytes: [u8; 4]) -> Vec<u8> {
    let mut file = pcap(0xa1b2c3d4, false, 0);
    file[at..at + 4].copy_from_slice(&bytes);
    file
}

#[test]
fn errors_say_where_what_and_what_to_do() {
    let classic = pcap(0xa1b2c3d4, false, 0);
    let ng = pcapng();
    let cases: &[(&str, Vec<u8>)] = &[
        ("nothing", vec![]),
        ("three bytes", vec![0xd4, 0xc3, 0xb2]),
        ("text", b"hello, world".to_vec()),
        ("gzip", vec![0x1f, 0x8b, 8, 0]),
        ("cut in the file header", classic[..20].to_vec()),
        ("cooked", patched(20, 113u32.to_le_bytes())),
        ("no such link type", patched(20, 60_000u32.to_le_bytes())),
        ("cut in a record header", classic[..60].to_vec()),
        ("cut in a record", classic[..72].to_vec()),
        ("4 GiB claimed", patched(54 + 8, [0xff; 4])),
        ("captured more than sent", patched(24 + 12, 13u32.to_le_bytes())),
        ("a million microseconds", patched(24 + 4, 1_000_000u32.to_le_bytes())),
        ("pcapng cut in the section header", ng[..20].to_vec()),
        ("pcapng cut in a block", ng[..ng.len() - 4].to_vec()),
        ("pcapng with odd block length", {
            let mut file = ng.clone();
            file[32] += 1;
            file
        }),
        ("pcapng of another link type", {
            let mut file = ng.clone();
            file[36] = 101;
            file
        }),
    ];
    let report = cases.iter().map(|(name, file)| {
        let error = read(file).expect_err(name);
        format!("{name}\n  {error}\n")
    });
    insta::assert_snapshot!(report.collect::<String>());
}

#[test]
fn the_packets_before_a_cut_are_read() {
    for (file, starts) in [
        (pcap(0xa1b2c3d4, true, 0), vec![24, 54, 75]),
        (pcapng(), {
            let file = pcapng();
            let ends = read(&file).unwrap().iter().skip(1).map(|p| p.offset).collect::<Vec<_>>();
            [vec![read(&file).unwrap()[0].offset], ends, vec![file.len()]].concat()
        }),
    ] {
        let whole = read(&file).unwrap();
        for cut in 0..file.len() {
            let complete = starts.iter().skip(1).filter(|&&end| end <= cut).count();
            let Ok(reader) = Reader::new(&file[..cut]) else {
                assert!(cut < starts[0], "the header is complete at {cut}");
                continue;
            };
            let items: Vec<_> = reader.collect();
            let read: Vec<_> = items.iter().filter_map(|item| item.as_ref().ok()).collect();
            assert_eq!(read, whole[..complete].iter().collect::<Vec<_>>());
            if let Some(Err(error)) = items.last() {
                assert_eq!(error.packet, Some(complete as u64 + 1));
                assert!(matches!(error.problem, Problem::Cut { needed, have } if needed > have), "{error}");
                assert_eq!(error.offset + error_have(error), cut);
            }
        }
    }
}

fn error_have(error: &CaptureError) -> usize {
    match error.problem {
        Problem::Cut { have, .. } => have,
        _ => unreachable!("asserted before"),
    }
}

fn drain(file: &[u8]) -> usize {
    let Ok(reader) = Reader::new(file) else { return 0 };
    let items: Vec<_> = reader.collect();
    // An error is the last item, and it can be shown.
    let errors = items.iter().filter_map(|item| item.as_ref().err());
    assert!(errors.clone().count() <= 1 && items.iter().rev().skip(1).all(Result::is_ok));
    assert!(errors.map(ToString::to_string).all(|text| text.contains("help")));
    items.iter().flatten().map(|packet| packet.data.len()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    #[test]
    fn no_damage_to_a_classic_file_panics(
        cut in 0usize..80, edits in proptest::collection::vec((0usize..80, any::<u8>()), 0..6),
        nano: bool, big: bool,
    ) {
        let mut file = pcap(if nano { 0xa1b23c4d } else { 0xa1b2c3d4 }, big, 5);
        for (at, value) in edits {
            let at = at % file.len();
            file[at] = value;
        }
        file.truncate(cut);
        prop_assert!(drain(&file) <= file.len());
    }

    #[test]
    fn no_damage_to_a_pcapng_file_panics(
        cut in 0usize..600, edits in proptest::collection::vec((0usize..600, any::<u8>()), 0..6),
    ) {
        let mut file = pcapng();
        for (at, value) in edits {
            let at = at % file.len();
            file[at] = value;
        }
        file.truncate(cut);
        prop_assert!(drain(&file) <= file.len());
    }

    #[test]
    fn no_bytes_panic(mut file in proptest::collection::vec(any::<u8>(), 0..120), start in 0usize..4) {
        let starts: [&[u8]; 4] =
            [&[], &[0xd4, 0xc3, 0xb2, 0xa1], &[0xa1, 0xb2, 0x3c, 0x4d], &[0x0a, 0x0d, 0x0d, 0x0a]];
        file.splice(0..0, starts[start].iter().copied());
        prop_assert!(drain(&file) <= file.len());
    }
}
