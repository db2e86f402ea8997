//! Helpers that random programs cannot call: those with callbacks, text, locks and timers. The same object on the
//! simulator and on the kernel; everything both see must be equal. Needs what `bpftwin-kernel` needs.

mod rig;

use rig::{agreed, case, marked};

const CALLS: &[u8] = include_bytes!("objects/calls.o");

/// A frame whose EtherType means nothing, with `payload`.
fn frame(payload: &[u8]) -> Vec<u8> {
    [&[2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5][..], payload].concat()
}

#[test]
fn callbacks_memory_locks_records_and_timers() {
    let programs = [
        "loops",
        "elements",
        "printing",
        "locks",
        "memory",
        "least_recently_used",
        "queues",
        "records",
        "timers",
        "every_cpu",
    ];
    for program in programs {
        let runs = (0..6).map(|mark| marked(program, &frame(&[]), mark)).collect();
        agreed(&case(CALLS, &[program], runs));
    }
}

#[test]
fn numbers_in_text() {
    let texts = [
        "0",
        "7",
        "-7",
        "+7",
        "  12",
        "\t\n 12 ",
        "0x1f",
        "0X1F",
        "0x",
        "0xg",
        "-0x10",
        "010",
        "08",
        "-0",
        "",
        "-",
        " ",
        "abc",
        "ABC",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "0xffffffffffffffff",
        "0x10000000000000000",
        "12,34",
        "00000000000000000000000000001",
        "--1",
        "- 1",
        "1777777777777777777777",
        "2000000000000000000000",
        "0x1F",
        "0x1E",
        "0x1G",
        "\u{b}1",
    ];
    let mut runs = Vec::new();
    for text in texts {
        for flags in [0, 8, 10, 16, 2, 32] {
            let mut run = marked("numbers", &frame(text.as_bytes()), text.len() as u32);
            run.ctx.0[32..36].copy_from_slice(&u32::to_le_bytes(flags));
            runs.push(run);
        }
    }
    agreed(&case(CALLS, &["numbers"], runs));
}
