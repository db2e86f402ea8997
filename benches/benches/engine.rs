//! Every engine on every program, in turn, in one run: the kernel's JIT, rbpf's interpreter and JIT, our interpreter
//! and our compiled code.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use bpftwin_benches::subject::{self, Subject};
use bpftwin_benches::{large, ours, real, rival};
use bpftwin_sim::bpf::engine::Engine;
use criterion::{Criterion, SamplingMode};

const COLUMNS: [&str; 5] = ["kernel JIT", "rbpf", "rbpf JIT", "interp", "jit"];
const KERNEL: usize = 0;
const OURS: [usize; 2] = [3, 4];

/// One engine, ready: runs each packet so many times.
type Engines<'a> = Vec<Option<Box<dyn FnMut(u32) + 'a>>>;

/// A row: instructions of one round, and nanoseconds of one round by column.
struct Row {
    name: &'static str,
    packets: usize,
    insns: u64,
    times: Vec<Option<f64>>,
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}

#[allow(clippy::cast_precision_loss)] // there are not 2^53 iterations
fn measure(criterion: &mut Criterion, name: &str, engines: &mut Engines<'_>) -> Vec<Option<f64>> {
    let samples = RefCell::new(vec![Vec::new(); engines.len()]);
    let mut group = criterion.benchmark_group("engines");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|iterations| {
            let mut total = Duration::ZERO;
            for (engine, samples) in engines.iter_mut().zip(samples.borrow_mut().iter_mut()) {
                let Some(run) = engine else { continue };
                let start = Instant::now();
                run(iterations as u32);
                let taken = start.elapsed();
                samples.push(taken.as_secs_f64() * 1e9 / iterations as f64);
                total += taken;
            }
            total
        });
    });
    group.finish();
    let samples = samples.into_inner();
    samples.into_iter().map(|samples| (!samples.is_empty()).then(|| median(samples))).collect()
}

fn row(criterion: &mut Criterion, subject: &Subject, not_run: &mut Vec<String>) -> Row {
    let Subject { name, case } = subject;
    let mut interp = ours::Runner::new(Engine::Interp, case);
    let mut jit = ours::Runner::new(Engine::Jit, case);
    let mut kernel = real::Runner::new(case)
        .map_err(|why| not_run.push(format!("{name}, {}: not run: {why}", COLUMNS[KERNEL])))
        .ok();
    let bytes = rival::bytes(name);
    let mut rbpf = bytes.as_ref().map(|bytes| rival::Runner::new(bytes));
    let (mut expected, mut seen) = (Vec::new(), Vec::new());
    // Twice, as what a run rewrites the next may rewrite again.
    for _ in 0..2 {
        interp.run(1, &mut expected);
        jit.run(1, &mut seen);
        assert_eq!(seen, expected, "{name}: our engines disagree");
        if let Some(kernel) = &mut kernel {
            kernel.run(1, &mut seen);
            assert_eq!(seen, expected, "{name}: the kernel disagrees");
        }
    }
    let insns = interp.executed() / 2;
    let mut compiled = None;
    if let (Some(rbpf), Some(bytes)) = (&mut rbpf, &bytes) {
        assert_eq!([rbpf.run()], *expected, "{name}: rbpf disagrees");
        rbpf.run();
        match rival::Compiled::new(bytes) {
            Ok(mut code) => {
                assert_eq!([code.run()], *expected, "{name}: rbpf's JIT disagrees");
                code.run();
                compiled = Some(code);
            }
            Err(why) => not_run.push(format!("{name}, rbpf JIT: not run: {why}")),
        }
    }
    let (mut first, mut second, mut third) = (Vec::new(), Vec::new(), Vec::new());
    let mut engines: Engines<'_> = vec![
        kernel.as_mut().map(|kernel| Box::new(|n| kernel.run(n, &mut first)) as Box<dyn FnMut(u32)>),
        rbpf.as_mut().map(|rbpf| Box::new(|n: u32| (0..n).for_each(|_| _ = rbpf.run())) as _),
        compiled.as_mut().map(|code| Box::new(|n: u32| (0..n).for_each(|_| _ = code.run())) as _),
        Some(Box::new(|n| interp.run(n, &mut second))),
        Some(Box::new(|n| jit.run(n, &mut third))),
    ];
    let times = measure(criterion, name, &mut engines);
    Row { name, packets: case.runs.len(), insns, times }
}

#[allow(clippy::cast_precision_loss)] // no program has 2^53 instructions
fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(41)
        .configure_from_args();
    let mut not_run = Vec::new();
    let rows: Vec<Row> =
        subject::subjects().iter().map(|subject| row(&mut criterion, subject, &mut not_run)).collect();
    print(&rows);
    for line in not_run {
        println!("{line}");
    }
    println!("\n{:<22}{:>13}{:>10}{:>22}", "until it runs", "instructions", "ms", "µs per instruction");
    for large::Row { what, insns, ms } in large::rows() {
        println!("{what:<22}{insns:>13}{ms:>10.2}{:>22.3}", ms * 1e3 / insns as f64);
    }
}

fn print(rows: &[Row]) {
    print!("{:<10}{:>8}{:>13}", "program", "packets", "instructions");
    for column in COLUMNS {
        print!("{column:>12}");
    }
    println!("{:>16}{:>13}", "interp / kernel", "jit / kernel");
    for Row { name, packets, insns, times } in rows {
        print!("{name:<10}{packets:>8}{insns:>13}");
        for time in times {
            let text = time.map_or_else(|| "-".to_owned(), |time| format!("{time:.1}"));
            print!("{text:>12}");
        }
        for (column, width) in OURS.into_iter().zip([16, 13]) {
            let ratio = times[column].zip(times[KERNEL]).map(|(ours, kernel)| ours / kernel);
            let text = ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
            print!("{text:>width$}");
        }
        println!();
    }
}
