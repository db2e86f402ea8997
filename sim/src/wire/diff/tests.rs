use proptest::prelude::*;

use super::*;
use crate::wire::expr::packet;

/// The differences between two expressions' frames, one per line.
fn check(a: &str, b: &str, expect: &str) {
    let (a, b) = (packet(a).unwrap(), packet(b).unwrap());
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    let found =
        diff(&a, &b).into_iter().map(|d| format!("{} {} {} {:?}\n", d.path, text(d.a), text(d.b), d.range));
    assert_eq!(found.collect::<String>(), expect);
}

#[test]
fn fields_are_named_and_placed() {
    let a = "Ether()/IP(src='10.0.0.1',chksum=1)/TCP(dport=80,chksum=1)";
    check(a, a, "");
    check(
        a,
        "Ether()/IP(src='10.0.0.9',ttl=63,chksum=2)/TCP(dport=8080,chksum=1)",
        "IP.ttl 64 63 22..23\nIP.chksum 0x1 0x2 24..26\nIP.src 10.0.0.1 10.0.0.9 26..30\nTCP.dport 80 8080 36..38\n",
    );
    check(
        "Ether()/IP(flags='DF',chksum=0)",
        "Ether()/IP(flags='MF',frag=1,chksum=0)",
        "IP.flags DF MF 20..21\nIP.frag 0 1 20..22\n",
    );
}

#[test]
fn a_layer_more_is_one_difference() {
    check(
        "Ether(type=0x800)/IP()/UDP()",
        "Ether()/Dot1Q(vlan=5)/IP()/UDP()",
        "len 42 46 0..42\nEther.type IPv4 VLAN 12..14\nDot1Q - Dot1Q(prio=0,dei=0,vlan=5,type=IPv4) 14..18\n",
    );
    check(
        "Ether()/IP(proto=200)/'abc'",
        "Ether()/IP(proto=200)",
        "len 37 34 0..37\nIP.len 23 20 16..18\nIP.chksum 0x7c1c 0x7c1f 24..26\nRaw 3 bytes - 34..37\n",
    );
}

#[test]
fn payloads_are_shown_where_they_differ() {
    check(
        "Ether()/('x'*30)",
        "Ether()/hex'7878787878787878787878787878787878787878ff'",
        "len 44 35 0..44\nRaw.load [20..] 'xxxxxxxxxx' [20..] hex'ff' 14..44\n",
    );
    check("Ether()/'abc'", "Ether()/'abd'", "Raw.load 'abc' 'abd' 14..17\n");
    check(
        "Ether()/('x'*40)",
        "Ether()/('y'*40)",
        "Raw.load 'xxxxxxxxxxxxxxxx' and 24 more 'yyyyyyyyyyyyyyyy' and 24 more 14..54\n",
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn empty_if_and_only_if_equal(
        a in prop::collection::vec(any::<u8>(), 0..100), edits in prop::collection::vec((0usize..100, any::<u8>()), 0..4),
        cut in 0usize..140, kind in prop::sample::select(vec![0x0800u16, 0x86dd, 0x8100, 0x0806, 0x0030]),
    ) {
        let mut a = a;
        if a.len() > 16 {
            a[12..14].copy_from_slice(&kind.to_be_bytes());
        }
        let mut b = a.clone();
        for (at, value) in edits {
            if let Some(byte) = b.get_mut(at) {
                *byte = value;
            }
        }
        b.truncate(cut);
        let found = diff(&a, &b);
        prop_assert_eq!(found.is_empty(), a == b);
        for one in found {
            prop_assert!(one.a.is_some() || one.b.is_some());
            prop_assert!(one.a != one.b, "{}", one.path);
        }
    }
}
