//! `bpftwin verify gate`: worse than the lock allows is an error.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bpftwin_conformance::exit::Exit;
use bpftwin_conformance::plane::kernel::KernelPlane;
use bpftwin_conformance::verify::judge::{self, Growth, Judged};
use bpftwin_conformance::verify::report;
use bpftwin_conformance::verify::row::Key;

use super::args::Locked;
use super::{Stop, Terminal, read_lock, refused, subjects, unavailable};
use crate::cli::args::Format;

/// How many lines that grew are named.
const NAMED: usize = 3;

/// Exit 5 if something is over its budget, 1 if the lock is stale, 77 if nothing could be compared.
pub fn gate(terminal: &Terminal, locked: &Locked) -> Result<Exit, Stop> {
    let lock = read_lock(&locked.lock)?;
    let subjects = subjects::subjects(&locked.subjects)?;
    let kernel = KernelPlane::find().map_err(unavailable)?;
    let gated = judge::gate(&kernel, &lock, &subjects).map_err(unavailable)?;
    refused(&gated.refused)?;
    let mut judged = gated.judged;
    if !locked.subjects.program.is_empty() {
        judged.retain(|key, _| locked.subjects.program.contains(&key.program));
    }
    let mut out = String::new();
    for (key, verdict) in &judged {
        let grew = gated.grew.get(key).map_or(&[][..], Vec::as_slice);
        match terminal.global.format {
            Format::Json => json(&mut out, key, verdict, grew),
            Format::Github => github(&mut out, key, verdict, grew),
            _ if terminal.global.quiet > 1 => {}
            _ => human(&mut out, key, verdict, grew, terminal.global.verbose > 0),
        }
    }
    if terminal.global.format == Format::Human && terminal.global.quiet < 2 {
        out.push_str(&summary(&judged));
    }
    terminal.out(&out)?;
    let any = |wanted: fn(&Judged) -> bool| judged.values().any(wanted);
    Ok(if any(|judged| matches!(judged, Judged::Over { .. })) {
        Exit::Budget
    } else if any(|judged| matches!(judged, Judged::New | Judged::Gone)) {
        Exit::Failed
    } else if any(|judged| matches!(judged, Judged::Same | Judged::Within { .. })) {
        Exit::Pass
    } else {
        Exit::NothingRan
    })
}

fn human(out: &mut String, key: &Key, judged: &Judged, grew: &[Growth], verbose: bool) {
    let _ = match judged {
        Judged::Over { why } => {
            let _ = writeln!(out, "over         {key}");
            for why in why {
                let _ = writeln!(out, "             {why}");
            }
            for line in report::grown(grew, NAMED).lines() {
                let _ = writeln!(out, "             {}", line.trim_start());
            }
            Ok(())
        }
        Judged::New => writeln!(out, "not recorded {key}: run `bpftwin verify record`"),
        Judged::Gone => writeln!(out, "gone         {key}: run `bpftwin verify record`"),
        Judged::Within { was } => writeln!(out, "within       {key}: {was} instructions recorded"),
        Judged::NotCompared { why } if verbose => writeln!(out, "not compared {key}: {why}"),
        Judged::Same if verbose => writeln!(out, "same         {key}"),
        Judged::NotCompared { .. } | Judged::Same => Ok(()),
    };
}

fn summary(judged: &BTreeMap<Key, Judged>) -> String {
    let count = |wanted: fn(&Judged) -> bool| judged.values().filter(|judged| wanted(judged)).count();
    let mut out = format!(
        "{} programs: {} as recorded, {} within their budget, {} over it, {} not recorded, {} gone\n",
        judged.len(),
        count(|j| matches!(j, Judged::Same)),
        count(|j| matches!(j, Judged::Within { .. })),
        count(|j| matches!(j, Judged::Over { .. })),
        count(|j| matches!(j, Judged::New)),
        count(|j| matches!(j, Judged::Gone)),
    );
    let mut reasons = BTreeMap::<&str, u32>::new();
    for judged in judged.values() {
        if let Judged::NotCompared { why } = judged {
            *reasons.entry(why).or_default() += 1;
        }
    }
    for (why, count) in reasons {
        let _ = writeln!(out, "not compared: {count}: {why}");
    }
    out
}

fn json(out: &mut String, key: &Key, judged: &Judged, grew: &[Growth]) {
    let (status, why) = match judged {
        Judged::Same => ("same", String::new()),
        Judged::Within { was } => ("within", format!("{was} instructions recorded")),
        Judged::Over { why } => ("over", why.join("; ")),
        Judged::New => ("not-recorded", String::new()),
        Judged::Gone => ("gone", String::new()),
        Judged::NotCompared { why } => ("not-compared", why.clone()),
    };
    let grew = grew.iter().take(NAMED);
    let grew: Vec<_> =
        grew.map(|g| serde_json::json!({ "place": g.place, "was": g.was, "now": g.now })).collect();
    let line = serde_json::json!({
        "v": 1, "event": "gate", "key": key, "status": status, "why": why, "grew": grew,
    });
    let _ = writeln!(out, "{line}");
}

fn github(out: &mut String, key: &Key, judged: &Judged, grew: &[Growth]) {
    let message = match judged {
        Judged::Over { why } => why.join("; "),
        Judged::New => "not recorded: run `bpftwin verify record`".into(),
        Judged::Gone => "recorded, but gone: run `bpftwin verify record`".into(),
        Judged::Same | Judged::Within { .. } | Judged::NotCompared { .. } => return,
    };
    let place = grew.first().map(|growth| &growth.place).filter(|place| !place.file.is_empty());
    let at = place.map(|place| format!("file={},line={},", place.file.trim_start_matches("./"), place.line));
    let title = format!("{}:{}", key.object, key.program).replace([',', ':'], " ");
    let message = message.replace('%', "%25");
    let _ = writeln!(out, "::error {}title={title}::{key}: {message}", at.unwrap_or_default());
}
