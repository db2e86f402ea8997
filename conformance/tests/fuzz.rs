//! No text makes the scenario reader panic: an error, or a case.

use bpftwin_conformance::resolve::{Library, resolve};
use bpftwin_conformance::scenario::Scenario;
use proptest::prelude::*;

/// Inputs per property.
const CASES: u32 = 50_000;

fn read(text: &str) {
    match Scenario::parse("case.toml", text) {
        Ok(scenario) => {
            // Both outcomes are fine; a message must be printable.
            if let Err(refusal) = resolve(&scenario, &Library::bundled()) {
                assert!(!refusal.to_string().is_empty());
            }
        }
        Err(mistakes) => assert!(!mistakes.to_string().is_empty()),
    }
}

/// Words a scenario is made of, so that random sequences get somewhere.
const WORDS: &[&str] = &[
    "[scenario]\n",
    "[[packet]]\n",
    "[[map]]\n",
    "[packet.expect]\n",
    "[[ignore]]\n",
    "[network]\n",
    "[[expect.map]]\n",
    "[[node]]\n",
    "[[step]]\n",
    "[scenario.config.veth]\n",
    "title = ",
    "objects = ",
    "program = ",
    "hex = ",
    "pkt = ",
    "pcap = ",
    "name = ",
    "entries = ",
    "key = ",
    "value = ",
    "retval = ",
    "like = ",
    "set = ",
    "ctx = ",
    "repeat = ",
    "device = ",
    "\"x\"\n",
    "\"veth\"\n",
    "{ veth = \"datapath:veth\" }\n",
    "\"from_container\"\n",
    "\"0800\"\n",
    "\"pcaps:ping.pcap#1\"\n",
    "\"Ether()/IP()\"\n",
    "\"input\"\n",
    "{ mark = 1 }\n",
    "[]\n",
    "{}\n",
    "-1\n",
    "99999999999999999999\n",
    "1\n",
    "true\n",
    "1979-05-27\n",
    "[{ key = 1 }]\n",
    "\"metrics\"\n",
    "\"é\"\n",
    "\n",
    "config = { identity = 1 }\n",
    "{ \"IP.dst\" = \"10.0.0.1\" }\n",
    "\"\"\"",
    "#",
];

const SCENARIO: &str = include_str!("../scenarios/veth/arp-reply.toml");

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_in_any_order(words in proptest::collection::vec(0..WORDS.len(), 0..24)) {
        let text: String = words.into_iter().map(|word| WORDS[word]).collect();
        read(&text);
        read(&format!("[scenario]\ntitle = \"t\"\nobjects = {{ veth = \"datapath:veth\" }}\n{text}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES / 10, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_scenario_with_scratches(edits in proptest::collection::vec((any::<usize>(), any::<char>()), 1..4)) {
        let mut text: Vec<char> = SCENARIO.chars().collect();
        for (at, with) in edits {
            let at = at % text.len();
            text[at] = with;
        }
        read(&text.into_iter().collect::<String>());
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        read(&text);
    }
}
