//! Register states as the verifier's log writes them (`print_reg_state`, kernel/bpf/log.c, v6.12), in words.

/// `map_value(map=m,ks=4,vs=8)` and the like; what is not known stays as it is.
pub fn describe(state: &str) -> String {
    // A number that is known, with the P of a precise one before it.
    if let Ok(number) = state.trim_start_matches('P').parse::<i64>() {
        return format!("the number {number}");
    }
    let (kind, rest) = state.split_once('(').unwrap_or((state, ""));
    let inside = rest.strip_suffix(')').unwrap_or(rest);
    let of = |name: &str| {
        inside.split(',').find_map(|part| {
            // Several bounds of one value are written `smin=smin32=0`.
            let names: Vec<&str> = part.split('=').collect();
            let (value, names) = names.split_last()?;
            names.contains(&name).then_some(*value)
        })
    };
    let (plain, or_null) = match kind.strip_suffix("_or_null") {
        Some(plain) => (plain, true),
        None => (kind.trim_start_matches('P'), false),
    };
    let words = match plain {
        "scalar" | "inv" => return range(&of),
        "ctx" => "the context".to_owned(),
        "pkt_end" => "the end of the packet".to_owned(),
        "pkt" | "pkt_meta" => return packet(plain, &of),
        "map_ptr" => format!("map {}", of("map").unwrap_or("?")),
        "map_value" => {
            let at = of("off").filter(|off| *off != "0").map(|off| format!(", {off} bytes on"));
            format!("a value of map {}{}", of("map").unwrap_or("?"), at.unwrap_or_default())
        }
        "mem" => format!("{} bytes of memory", of("sz").unwrap_or("some")),
        _ if plain.starts_with("ptr_") || plain.starts_with("trusted_ptr_") => {
            format!("a pointer to struct {}", plain.trim_start_matches("trusted_").trim_start_matches("ptr_"))
        }
        _ if plain.starts_with("fp") => match plain[2..].parse::<i32>() {
            Ok(offset) => format!("the stack, at {offset}"),
            Err(_) => state.to_owned(),
        },
        "sock" | "sock_common" | "tcp_sock" | "xdp_sock" => format!("a {}", plain.replace('_', " ")),
        _ => state.to_owned(),
    };
    if or_null { format!("{words}, or NULL, which was not ruled out") } else { words }
}

fn range<'a>(of: &impl Fn(&str) -> Option<&'a str>) -> String {
    let (least, most) = (of("umin").or_else(|| of("smin")), of("umax").or_else(|| of("smax")));
    match (least, most) {
        (None, None) if of("umin32").or_else(|| of("umax32")).is_none() => {
            "a number, which can be any".into()
        }
        (None, None) => {
            let (least, most) = (of("umin32").unwrap_or("0"), of("umax32").unwrap_or("4294967295"));
            format!("a number whose lower half is from {least} to {most}")
        }
        (Some(least), Some(most)) => format!("a number from {least} to {most}"),
        (None, Some(most)) if of("umax").is_some() => format!("a number from 0 to {most}"),
        (None, Some(most)) => format!("a number of at most {most}, which can be negative"),
        (Some(least), None) => format!("a number of at least {least}"),
    }
}

fn packet<'a>(kind: &str, of: &impl Fn(&str) -> Option<&'a str>) -> String {
    let what = if kind == "pkt" { "the packet" } else { "the packet's metadata" };
    let at = of("off").filter(|off| *off != "0").map(|off| format!(", {off} bytes on")).unwrap_or_default();
    let end = if kind == "pkt" { "data_end" } else { "data" };
    match of("r") {
        None | Some("0") => format!("{what}{at}, of which nothing was compared with {end}"),
        Some(known) => format!("{what}{at}, of which the first {known} bytes are known to be there"),
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn states_in_words() {
        let table = [
            ("7", "the number 7"),
            ("P0", "the number 0"),
            ("scalar()", "a number, which can be any"),
            ("scalar(id=4)", "a number, which can be any"),
            (
                "scalar(smin=smin32=0,smax=umax=smax32=umax32=255,var_off=(0x0; 0xff))",
                "a number from 0 to 255",
            ),
            ("scalar(umax=65535)", "a number from 0 to 65535"),
            ("scalar(smax=7)", "a number of at most 7, which can be negative"),
            ("ctx()", "the context"),
            ("fp-8", "the stack, at -8"),
            ("pkt(r=0)", "the packet, of which nothing was compared with data_end"),
            (
                "pkt(off=14,r=34)",
                "the packet, 14 bytes on, of which the first 34 bytes are known to be there",
            ),
            ("map_value(map=m,ks=4,vs=8,off=4)", "a value of map m, 4 bytes on"),
            ("sock_or_null(id=2,ref_obj_id=2)", "a sock, or NULL, which was not ruled out"),
            ("trusted_ptr_task_struct()", "a pointer to struct task_struct"),
            ("flow_keys()", "flow_keys()"),
        ];
        for (state, expected) in table {
            assert_eq!(describe(state), expected, "{state}");
        }
    }
}
