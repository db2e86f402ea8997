use proptest::prelude::*;

use super::*;
use crate::wire::dissect::dissect;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat()
}

/// The expression makes these bytes (in hexadecimal, blanks ignored), and the bytes read as the same layers.
fn check(text: &str, expect: &str) {
    let frame = packet(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(hex(&frame), expect.replace([' ', '\n'], ""), "{text}");
    let layers: Vec<_> = parse(text).unwrap().iter().map(|call| call.proto).collect();
    let read: Vec<_> = dissect(&frame).layers.iter().map(|layer| layer.proto).collect();
    assert_eq!(read, layers, "{text}");
}

/// Bytes as Scapy 2.8 makes them of the same expression, except where the module's documentation says otherwise.
#[test]
fn bytes_are_those_of_scapy() {
    for (text, expect) in include!("vectors.in") {
        check(text, expect);
    }
}

#[test]
fn what_is_set_stays_however_wrong() {
    for (text, path, expect) in [
        ("Ether(type=0x1234)/IP()/UDP()", "Ether.type", "0x1234"),
        ("Ether()/IP(len=9)/UDP()", "IP.len", "9"),
        ("Ether()/IP(chksum=0)/UDP()", "IP.chksum", "0x0"),
        ("Ether()/IP(ihl=15)/UDP()", "IP.ihl", "15"),
        ("Ether()/IP(version=5)/UDP()", "IP.version", "5"),
        ("Ether()/IP(proto='tcp')/UDP()", "IP.proto", "tcp"),
        ("Ether()/IP()/UDP(len=7)", "UDP.len", "7"),
        ("Ether()/IP()/UDP(chksum=0)/'abc'", "UDP.chksum", "0x0"),
        ("Ether()/IP()/TCP(dataofs=15)", "TCP.dataofs", "15"),
        ("Ether()/IPv6(plen=1)/TCP()", "IPv6.plen", "1"),
        ("Ether()/IPv6(nh=17)/IPv6ExtHdrHopByHop(nh=6)/TCP()", "IPv6.nh", "udp"),
    ] {
        let frame = packet(text).unwrap();
        let dissection = dissect(&frame);
        let shown = dissection.field(path).unwrap_or_else(|| panic!("{text}: {path} in {dissection}"));
        assert_eq!(shown.to_string(), expect, "{text}");
    }
}

#[test]
fn mistakes_are_explained() {
    let report = [
        "",
        "Ether",
        "Ether(",
        "Ether()/",
        "Ether() IP()",
        "Eter()/IP()",
        "ipv6()",
        "Teapot()",
        "Ether()/IP(dts='10.0.0.1')",
        "Ether()/IP(colour=3)",
        "Ether()/IP(src=10.0.0.1)",
        "Ether()/IP(src='10.0.0.256')",
        "Ether()/IP(src)",
        "Ether()/IP(ttl=256)",
        "Ether()/IP(ttl='64s')",
        "Ether()/IP(ttl=hex'40')",
        "Ether()/IP(ttl=1,ttl=2)",
        "Ether()/IP(proto='tpc')",
        "Ether()/IP(flags='DF,MF')",
        "Ether()/TCP(flags='SX')",
        "Ether(dst='02:00:00:00:01')",
        "Ether()/IPv6(dst='10.0.0.1')",
        "Ether()/IP()/ICMP(type=3,id=1)",
        "Ether()/IP()/GRE(key=1)",
        "Raw(7)",
        "Raw('abc)",
        "Raw(hex'abc')",
        "Raw(hex'zz')",
        "Raw(b'\\xg0')",
        "Raw('\\q')",
        "Raw('a'*99999999999)",
        "Raw('a'*'b')",
        "Ether()/IP()/UDP()/('x'*70000)",
        "Ether()/IP();",
        "Ether()/IP(id=-1)",
    ]
    .map(|text| match packet(text) {
        Ok(frame) => panic!("{text} makes {}", hex(&frame)),
        Err(error) => format!("{text}\n    {error}\n"),
    });
    insta::assert_snapshot!(report.concat());
}

#[test]
fn comments_blanks_and_quotes() {
    let plain = packet("Ether()/IP()/UDP()/'ab'").unwrap();
    for same in [
        " Ether( ) / IP() # the network\n / UDP( )/\"ab\"",
        "Ether()/IP()/UDP()/Raw(load=b'\\x61b')",
        "Ether()/IP()/UDP()/Raw('a')/hex'62'",
        "Ether()/IP()/UDP()/hex'61 62'",
    ] {
        let result = packet(same);
        assert_eq!(result.unwrap(), plain, "{same}");
    }
    assert_eq!(packet("Ether()/('ab'*3)").unwrap()[14..], *b"ababab");
    assert_eq!(packet("Raw(b'\\x00'*2)").unwrap(), [0, 0]);
    assert_eq!(packet("Ether()/IP(ttl=1,)").unwrap()[22], 1);
}

/// Pieces of expressions, in any order.
fn soup() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Ether",
        "IP",
        "IPv6",
        "TCP",
        "UDP",
        "ICMP",
        "Raw",
        "GRE",
        "IPv6ExtHdrFragment",
        "(",
        ")",
        "/",
        ",",
        "=",
        "*",
        "'",
        "\"",
        "b'",
        "hex'",
        "\\x",
        "src",
        "dst",
        "len",
        "flags",
        "type",
        "load",
        "'10.0.0.1'",
        "'SA'",
        "0x",
        "65535",
        "340282366920938463463374607431768211456",
        "#",
        "\n",
        " ",
        "ü",
        "chksum",
        "options",
        "hex'0102'",
        "()",
        ")/",
    ]);
    prop::collection::vec(words, 0..24).prop_map(|words| words.concat())
}

/// Expressions that are right.
fn right() -> impl Strategy<Value = String> {
    let link = prop_oneof![
        Just(String::new()),
        (0u16..4096).prop_map(|vlan| format!("/Dot1Q(vlan={vlan})")),
        (0u16..4096).prop_map(|vlan| format!("/Dot1AD(vlan={vlan})/Dot1Q(vlan={vlan},prio=3)")),
    ];
    let network = prop_oneof![
        (any::<[u8; 4]>(), 0u8.., 0u16..).prop_map(|(a, ttl, id)| format!(
            "/IP(src='{}.{}.{}.{}',ttl={ttl},id={id},flags='DF',options=hex'0101')",
            a[0], a[1], a[2], a[3]
        )),
        any::<u128>().prop_map(|a| format!("/IPv6(dst='{}',fl=7)", std::net::Ipv6Addr::from(a))),
        Just("/IPv6()/IPv6ExtHdrHopByHop()/IPv6ExtHdrDestOpt(options=hex'0500')".to_owned()),
        Just("/IPv6()/IPv6ExtHdrFragment(m=1,id=9)".to_owned()),
        Just("/IP()/IPv6()".to_owned()),
        Just("/IP()/GRE(key_present=1,key=7)/IP()".to_owned()),
        Just("/IPv6()/UDP()/VXLAN(vni=9)/Ether()/IP()".to_owned()),
        Just("/IP()/UDP()/GENEVE(vni=9,options=hex'01020301aabbccdd')/Ether()/IPv6()".to_owned()),
    ];
    let transport = prop_oneof![
        (0u16.., 0u32.., "[FSRPAUECN]{0,1}")
            .prop_map(|(p, s, f)| format!("/TCP(sport={p},seq={s},flags='{f}')")),
        Just("/TCP(options=hex'020405b4')".to_owned()),
        (10u16..4000).prop_map(|port| format!("/UDP(sport={port},dport={port})")),
        Just("/SCTP(sport=1,dport=2,tag=3)".to_owned()),
    ];
    let data =
        prop::collection::vec(any::<u8>(), 1..40).prop_map(|data| format!("/Raw(hex'{}')", hex(&data)));
    (link, network, transport, data)
        .prop_map(|(l, n, t, d)| format!("Ether(src='02:00:00:00:00:0a'){l}{n}{t}{d}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn no_text_panics(text in soup()) {
        if let Err(error) = packet(&text) {
            prop_assert!(error.column >= 1 && error.column <= text.chars().count() + 1, "{}", error);
        }
    }

    #[test]
    fn no_characters_panic(text in "\\PC{0,40}") {
        let _ = packet(&text);
    }

    #[test]
    fn what_is_built_reads_back(text in right()) {
        let frame = packet(&text).unwrap();
        let read = dissect(&frame);
        let layers: Vec<_> = parse(&text).unwrap().iter().map(|call| call.proto).collect();
        prop_assert_eq!(read.layers.iter().map(|layer| layer.proto).collect::<Vec<_>>(), layers);
        for call in parse(&text).unwrap() {
            let layer = read.layers.iter().find(|layer| layer.proto == call.proto).unwrap();
            for argument in call.arguments.iter().filter(|argument| argument.field.name != "options") {
                let shown = layer.field(argument.field.name).unwrap();
                let alike = read.layers.iter().filter(|layer| layer.proto == call.proto).any(|layer| {
                    layer.field(argument.field.name).is_some_and(|f| Ok(&f.value) == argument.value.for_field(f.field).as_ref())
                });
                prop_assert!(alike, "{} {}", shown.field.name, text);
            }
        }
        // What is shown is an expression for the same bytes.
        let again = packet(&read.to_string()).map_err(|error| TestCaseError::fail(format!("{read}: {error}")))?;
        prop_assert_eq!(again, frame, "{}", read);
    }
}
