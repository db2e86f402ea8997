//! The same instructions on the simulator and on the running kernel: programs of random helper calls with arguments at
//! the edges. What every call returned, what it left in memory, and what BPF_PROG_TEST_RUN gave back must agree. Needs
//! root.

#[path = "helpers/calls.rs"]
mod calls;
#[path = "helpers/generate.rs"]
mod generate;
#[path = "helpers/others.rs"]
mod others;
#[path = "helpers/planes.rs"]
mod planes;
#[path = "helpers/regressions.rs"]
mod regressions;
#[path = "helpers/routes.rs"]
mod routes;

use bpftwin_conformance::case::Network;
use calls::Trial;
use generate::Random;
use planes::{Kernel, simulate};

/// Both planes, in the same network.
struct Pair {
    kernel: Kernel,
    network: bpftwin_sim::net::network::Network,
}

impl Pair {
    fn new(network: &Network) -> Self {
        let simulated = bpftwin_conformance::plane::sim::network_of(network).expect("a network");
        Self { kernel: Kernel::new(network), network: simulated }
    }
}

/// Fails with the shortest trial that still differs.
fn check(pair: &Pair, trial: &Trial) -> Result<(), String> {
    let differs = |trial: &Trial| {
        let simulated = simulate(trial, &pair.network);
        let real = pair.kernel.run(trial);
        (real != simulated).then_some((real, simulated))
    };
    let Some(mut last) = differs(trial) else { return Ok(()) };
    let mut shortest = trial.clone();
    let mut index = 0;
    while index < shortest.calls.len() {
        let mut shorter = shortest.clone();
        shorter.calls.remove(index);
        match differs(&shorter) {
            Some(seen) => (shortest, last) = (shorter, seen),
            None => index += 1,
        }
    }
    Err(format!("{shortest}\n{}", last.0.compare(&last.1, &shortest)))
}

fn check_all(name: &str, network: &Network, make: impl Fn(&mut Random) -> Trial) {
    let (pair, count) = (Pair::new(network), trials());
    let mut wrong = Vec::new();
    for seed in 0..count {
        let trial = make(&mut Random(seed));
        if let Err(report) = check(&pair, &trial) {
            wrong.push(format!("{name} {seed}: {report}"));
            if wrong.len() == 5 {
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// How many random trials of each kind; `HELPER_TRIALS` asks for more.
fn trials() -> u64 {
    std::env::var("HELPER_TRIALS").map_or(400, |n| n.parse().expect("HELPER_TRIALS is a number"))
}

#[test]
fn tc() {
    check_all("tc", &Network::default(), generate::tc);
}

#[test]
fn xdp() {
    check_all("xdp", &Network::default(), generate::xdp);
}

#[test]
fn other_skb_programs() {
    check_all("skb", &Network::default(), generate::other_skb);
}

#[test]
fn headers_of_tunnels() {
    check_all("encap", &Network::default(), generate::encap);
    check_all("routed encap", &routes::network(), generate::encap);
}

#[test]
fn fib() {
    check_all("fib", &routes::network(), routes::fib);
}

#[test]
fn what_once_differed() {
    let pair = Pair::new(&Network::default());
    let wrong: Vec<String> = regressions::ALL
        .iter()
        .filter_map(|text| check(&pair, &text.parse().expect("a trial")).err())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
