//! Bodies of programs that set and get every option, with values at the edges.

/// Level, name, values of four bytes.
type Row = (i32, i32, &'static [i32]);

const SOCKET: &[Row] = &[
    (1, 2, &[0, 1, 5, -1]),
    (1, 9, &[0, 1, 2]),
    (1, 12, &[0, 6, 7, -1]),
    (1, 15, &[0, 1]),
    (1, 36, &[1, -1, 0]),
    (1, 47, &[0, 1000, -1]),
    (1, 74, &[-2, -1, 0, 1, 2]),
    (1, 3, &[0]),
    (2, 1, &[0]),
    (0, 1, &[0, 3, 8, 16, 24, 28, 255, 256, -1]),
    (0, 2, &[0]),
    (41, 67, &[-2, -1, 0, 3, 255, 256]),
    (41, 70, &[0, 1, 2]),
    (41, 26, &[0]),
    (1, 62, &[-1, 1, 0]),
];

/// What depends on whether the socket is in a connection.
const BUFFERS: &[Row] = &[
    (1, 18, &[-1, 0, 1, 1000, 65536, 100_000]),
    (1, 7, &[0, 1, 2304, 5000, 106_496]),
    (1, 8, &[0, 1, 1152, 5000, 106_496]),
    (1, 18, &[-1, 0, 1, 65536]),
    (6, 10, &[0, 1, 1151, 1152, 1153, 100_000]),
];

const TCP: &[Row] = &[
    (6, 1, &[0, 1, 2]),
    (6, 2, &[0, 87, 88, 536, 32767, 32768]),
    (6, 4, &[0, 1, 100, 32767, 32768]),
    (6, 5, &[0, 1, 100, 32767, 32768]),
    (6, 6, &[0, 1, 127, 128]),
    (6, 7, &[0, 1, 127, 128]),
    (6, 16, &[0, 1, 2]),
    (6, 18, &[-1, 0, 1000]),
    (6, 25, &[-1, 0, 5]),
    (6, 27, &[-1, 0, 1, 2, 3]),
    (6, 1001, &[0, 1, 20]),
    (6, 1002, &[0, 1, 100]),
    (6, 1003, &[0, 1000, 8000, 100_000, 200_000, 200_001, 204_001, -1]),
    (6, 1004, &[0, 1000, 8000, 100_000, 200_000, 200_001, 204_001, -1]),
    (6, 1008, &[0, 1, 0x7f, 0x80, -1]),
    (6, 9, &[0]),
];

/// Options whose value is a text.
const TEXTS: &[(i32, i32, &[&str])] =
    &[(6, 13, &["reno", "cubic", "cdg", "cdgx", "cd", "nope", "c"]), (1, 25, &["lo", "", "nodev"])];

/// Sets the stack's first `len` bytes below `r10`.
pub fn filled(len: u32) -> String {
    (1..=len / 8).map(|word| format!("*(u64 *)(r10 -{}) = -1\n", word * 8)).collect()
}

/// What the stack's `len` bytes below `r10` hold.
pub fn buffer(len: u32) -> String {
    (1..=len / 8).rev().map(|word| format!("r0 = *(u64 *)(r10 -{}); out\n", word * 8)).collect()
}

fn get(arg: &str, level: i32, name: i32, len: u32) -> String {
    format!(
        "{}{arg}; r2 = {level}; r3 = {name}; r4 = r10; r4 += -16; r5 = {len}; call 57; out\n{}",
        filled(16),
        buffer(16)
    )
}

fn set(arg: &str, level: i32, name: i32, len: u32) -> String {
    format!("{arg}; r2 = {level}; r3 = {name}; r4 = r10; r4 += -16; r5 = {len}; call 49; out\n")
}

/// The bodies; `arg` sets `r1` for both helpers.
pub fn bodies(arg: &str, in_connection: bool) -> Vec<String> {
    let rows = |rows: &[Row]| {
        let mut body = String::new();
        for &(level, name, values) in rows {
            body += &get(arg, level, name, 4);
            for len in [2, 8] {
                body += &get(arg, level, name, len);
                body += "*(u64 *)(r10 -16) = 1\n";
                body += &set(arg, level, name, len);
            }
            for value in values {
                body += &format!("*(u64 *)(r10 -16) = {value}\n");
                body += &set(arg, level, name, 4);
                body += &get(arg, level, name, 4);
            }
        }
        body
    };
    let mut texts = String::new();
    for &(level, name, values) in TEXTS {
        // The first is set before any is got: what a socket has at first is the kernel's configuration.
        for value in values {
            let mut bytes = value.as_bytes().to_vec();
            bytes.resize(16, 0);
            for (word, at) in bytes.chunks(4).zip([16, 12, 8, 4]) {
                let word = i32::from_le_bytes(word.try_into().expect("4 bytes"));
                texts += &format!("*(u32 *)(r10 -{at}) = {word}\n");
            }
            for len in [1, 2, 3, 4, value.len().max(1) as u32, 16] {
                texts += &set(arg, level, name, len);
            }
            for len in [1, 2, 4, 6, 16] {
                texts += &get(arg, level, name, len);
            }
        }
    }
    let mut bodies = vec![rows(SOCKET), rows(TCP), texts];
    if !in_connection {
        bodies.push(rows(BUFFERS));
    }
    bodies
}

/// Bodies that bind the socket to one address after another.
pub fn binds(v6: bool) -> Vec<String> {
    let call = |bytes: &[u8], len: usize| {
        let mut padded = bytes.to_vec();
        padded.resize(32, 0);
        let mut text = String::new();
        for (index, word) in padded.chunks(4).enumerate() {
            let word = i32::from_le_bytes(word.try_into().expect("4 bytes"));
            text += &format!("*(u32 *)(r10 -{}) = {word}\n", 32 - 4 * index);
        }
        text + &format!("r1 = r6; r2 = r10; r2 += -32; r3 = {len}; call 64; out\n")
    };
    let v4 = |address: [u8; 4], port: u16| [&[2, 0][..], &port.to_be_bytes(), &address].concat();
    let six = |last: u16, first: u16, port: u16, scope: u32| {
        let mut bytes = [&[10, 0][..], &port.to_be_bytes(), &[0; 4]].concat();
        bytes.extend(first.to_be_bytes());
        bytes.extend([0; 12]);
        bytes.extend(last.to_be_bytes());
        bytes.extend(scope.to_le_bytes());
        bytes
    };
    let addresses: Vec<Vec<u8>> = if v6 {
        vec![
            six(1, 0, 0, 0),
            six(2, 0xfd00, 0, 0),
            six(0, 0, 0, 0),
            six(1, 0xfe80, 0, 0),
            six(1, 0xfe80, 0, 9),
            six(1, 0xff02, 0, 1),
        ]
    } else {
        vec![
            v4([127, 0, 0, 1], 0),
            v4([127, 1, 2, 3], 0),
            v4([10, 0, 0, 1], 0),
            v4([0; 4], 0),
            v4([224, 0, 0, 1], 0),
            v4([255; 4], 0),
            v4([0, 1, 1, 1], 0),
        ]
    };
    let size = if v6 { 28 } else { 16 };
    let each = addresses.iter().map(|address| call(address, size));
    let mut bodies: Vec<String> = each.collect();
    // Too short, of no family, and twice with a port.
    let first = &addresses[0];
    let lens = [1, 2, 15, 16, 23, 24, 32].map(|len| call(first, len)).concat();
    let with_port = if v6 { six(1, 0, 40_123, 0) } else { v4([127, 0, 0, 1], 40_124) };
    bodies.push(lens);
    bodies.push(
        call(&[1, 0], 16)
            + &call(&[0, 0], 16)
            + &call(&with_port, size)
            + &call(&with_port, size)
            + &call(first, size),
    );
    bodies
}
