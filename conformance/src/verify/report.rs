//! Rows as text: a table for people, veristat's CSV, lines of JSON.

use std::fmt::Write as _;

use serde_json::json;

use super::judge::Growth;
use super::protocol::{LineSeen, Place, Verdict};
use super::rejection::{self, Story};
use super::row::Row;

/// The header of veristat's CSV (tools/testing/selftests/bpf/veristat.c, v6.18).
pub const CSV_HEADER: &str = "file_name,prog_name,verdict,duration,total_insns,total_states,peak_states,\
                              max_states_per_insn,max_mark_read_len,prog_size,prog_size_jited,prog_type,attach_type,\
                              stack_depth,mem_peak";

/// veristat's CSV, so that `veristat -C` reads it. What was not verified is a failure there; the stack is the sum over all
/// functions, as veristat has it; the peak of memory, which is not measured, is -1.
pub fn csv(rows: &[Row]) -> String {
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (&row.key.object, &row.key.program));
    let mut out = format!("{CSV_HEADER}\n");
    for Row { key, seen } in rows {
        let verdict = if seen.verdict == Verdict::Success { "success" } else { "failure" };
        let c = &seen.counts;
        let stack: u32 = seen.stack.iter().sum();
        let _ = writeln!(
            out,
            "{},{},{verdict},{},{},{},{},{},{},{},{},{},{},{stack},-1",
            key.object,
            key.program,
            c.time,
            c.insns,
            c.states,
            c.peak_states,
            c.max_states_per_insn,
            c.mark_read,
            seen.size,
            seen.jited,
            seen.prog_type,
            seen.attach_type
        );
    }
    out
}

/// One row as one line of JSON.
pub fn json(row: &Row, release: &str) -> String {
    format!(
        "{}\n",
        json!({ "v": 1, "event": "verified", "key": &row.key, "release": release, "seen": &row.seen })
    )
}

/// A table for people, and under it why programs are not a success. `log`: with the end of the verifier's log.
pub fn table(rows: &[Row], source: &dyn Fn(&Place) -> Vec<(u32, String)>, log: bool) -> String {
    let configs = rows.iter().any(|row| row.key.config != super::config::DEFAULT);
    let mut cells: Vec<Vec<String>> = vec![
        ["program", "config", "verdict", "insns", "states", "peak", "per insn", "stack", "maps", "size"]
            .into_iter()
            .chain(["jited", "memory", "µs"])
            .map(str::to_owned)
            .collect(),
    ];
    for Row { key, seen } in rows {
        let c = &seen.counts;
        let mut line = vec![
            format!("{}:{}", key.object, key.program),
            key.config.clone(),
            seen.verdict.name().to_owned(),
        ];
        line.extend([c.insns, c.states, c.peak_states, c.max_states_per_insn].map(|n| n.to_string()));
        line.extend([seen.deepest, seen.maps, seen.size, seen.jited].map(|n| n.to_string()));
        line.extend([seen.memory, c.time].map(|n| n.to_string()));
        cells.push(line);
    }
    if !configs {
        for line in &mut cells {
            line.remove(1);
        }
    }
    let mut out = aligned(&cells, if configs { 3 } else { 2 });
    for row in rows.iter().filter(|row| row.seen.verdict != Verdict::Success) {
        out.push('\n');
        out.push_str(&refusal(row, source, log));
    }
    out
}

/// Columns, the first `left` of them aligned to the left.
fn aligned(cells: &[Vec<String>], left: usize) -> String {
    let width = |column: usize| cells.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..cells[0].len()).map(width).collect();
    let mut out = String::new();
    for line in cells {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = if column < left {
                write!(text, "{cell:<width$}  ")
            } else {
                write!(text, "{cell:>width$}  ")
            };
        }
        let _ = writeln!(out, "{}", text.trim_end());
    }
    out
}

/// Why a program is not a success, with the C line and what is around it.
fn refusal(row: &Row, source: &dyn Fn(&Place) -> Vec<(u32, String)>, log: bool) -> String {
    let Row { key, seen } = row;
    let Some(rejection) = &seen.rejection else {
        return format!("{}:{} is not verified: {}\n", key.object, key.program, seen.reason);
    };
    let Story { place, instruction, message, registers } = rejection::story(rejection);
    let mut out = format!("{}:{} is rejected: {message}\n", key.object, key.program);
    if let Some(place) = place {
        let _ = writeln!(out, "  {}:{}", place.file, place.line);
        let excerpt = source(&place);
        let alone = vec![(place.line, place.text.clone())];
        for (number, text) in if excerpt.is_empty() { alone } else { excerpt } {
            let mark = if number == place.line { '>' } else { ' ' };
            let _ = writeln!(out, "  {mark} {number:>5} | {text}");
        }
    }
    if !instruction.is_empty() {
        let _ = writeln!(out, "  at the instruction `{instruction}`");
    }
    for register in registers {
        let _ = write!(out, "  {} held {}", register.name, register.holds);
        let _ = match register.written {
            Some(place) => writeln!(out, " (from line {}: {})", place.line, place.text),
            None => writeln!(out),
        };
    }
    if log {
        let lines: Vec<&str> = rejection.log.lines().collect();
        for line in &lines[lines.len().saturating_sub(40)..] {
            let _ = writeln!(out, "    {line}");
        }
    }
    out
}

/// The lines that cost most.
pub fn top(row: &Row, count: usize, by_states: bool) -> String {
    let mut lines: Vec<&LineSeen> = row.seen.lines.iter().collect();
    let cost = |line: &LineSeen| if by_states { line.states } else { line.visits };
    lines.sort_by(|a, b| cost(b).cmp(&cost(a)).then_with(|| a.place.cmp(&b.place)));
    let all = row.seen.counts.insns.max(1);
    let mut out = format!("{}: {} instructions processed\n", row.key, row.seen.counts.insns);
    let _ = writeln!(out, "{:>9} {:>7} {:>8}", "visits", "", "states");
    for line in lines.into_iter().filter(|line| cost(line) > 0).take(count) {
        let parts = line.visits * 1000 / all;
        let share = format!("{}.{} %", parts / 10, parts % 10);
        let _ = writeln!(out, "{:>9} {share:>7} {:>8}  {}", line.visits, line.states, shown(&line.place));
    }
    out
}

/// The lines that grew.
pub fn grown(grown: &[Growth], count: usize) -> String {
    grown.iter().take(count).fold(String::new(), |mut out, growth| {
        let more = growth.now - growth.was;
        let _ = writeln!(out, "{more:>+9} (now {})  {}", growth.now, shown(&growth.place));
        out
    })
}

/// A place as people read it.
pub fn shown(place: &Place) -> String {
    if place.file.is_empty() {
        return "(instructions without a C line)".into();
    }
    format!("{}:{}  {}", place.file.trim_start_matches("./"), place.line, place.text)
}
