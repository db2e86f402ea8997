//! Our interpreter against rbpf's, program by program, in one run.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bpftwin_benches::{ours, programs, rival};
use criterion::Criterion;

/// Bytes that the programs change, put back before every run.
const HEADERS: usize = 54;

/// Samples of one engine on one program, nanoseconds per run.
type Samples = RefCell<Vec<f64>>;

#[allow(clippy::cast_precision_loss)] // there are not 2^53 iterations
fn measure(criterion: &mut Criterion, name: &str, mut run: impl FnMut()) -> f64 {
    let samples = Samples::default();
    criterion.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let start = Instant::now();
            for _ in 0..iterations {
                run();
            }
            let taken = start.elapsed();
            samples.borrow_mut().push(taken.as_secs_f64() * 1e9 / iterations as f64);
            taken
        });
    });
    let mut samples = samples.into_inner();
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(60)
        .configure_from_args();
    let packet = programs::packet();
    let headers = &packet[..HEADERS];
    let mut table = Vec::new();
    for name in programs::NAMES {
        let mut ours = ours::Runner::new(name);
        let bytes = rival::bytes(name);
        let mut theirs = rival::Runner::new(&bytes);
        let ran = ours.run(headers);
        assert_eq!(ran.r0, theirs.run(headers), "{name}: the engines disagree");
        let rival_ns = measure(&mut criterion, &format!("{name}/rbpf"), || {
            std::hint::black_box(theirs.run(headers));
        });
        let our_ns = measure(&mut criterion, &format!("{name}/bpftwin"), || {
            std::hint::black_box(ours.run(headers));
        });
        table.push((name, ran.insns, rival_ns, our_ns));
    }
    println!(
        "{:<10}{:>12}{:>16}{:>14}{:>9}",
        "program", "instructions", "rbpf 0.4.1, ns", "bpftwin, ns", "ratio"
    );
    for (name, insns, rival_ns, our_ns) in table {
        println!("{name:<10}{insns:>12}{rival_ns:>16.1}{our_ns:>14.1}{:>8.2}×", rival_ns / our_ns);
    }
}
