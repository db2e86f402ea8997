//! Names of return codes, per program type.

use bpftwin_sim::uapi::{ProgType, action};

/// The return code's name in full, such as `TC_ACT_SHOT`; `None` where the type or the code has none.
pub fn name(prog_type: ProgType, retval: u32) -> Option<String> {
    table(prog_type).into_iter().find(|(_, value)| *value == retval).map(|(name, _)| name)
}

/// The return code and, where it has one, its name: `2 (TC_ACT_SHOT)`.
pub fn describe(prog_type: ProgType, retval: u32) -> String {
    let number = if retval > i32::MAX as u32 { (retval as i32).to_string() } else { retval.to_string() };
    match name(prog_type, retval) {
        Some(name) => format!("{number} ({name})"),
        None => number,
    }
}

/// The code a name stands for: in full, or without its prefix.
pub fn parse(prog_type: ProgType, text: &str) -> Option<u32> {
    let short = |full: &str| full.rsplit_once("TC_ACT_").or(full.rsplit_once('_')).map(|(_, s)| s.to_owned());
    table(prog_type)
        .into_iter()
        .find(|(full, _)| full == text || short(full).as_deref() == Some(text))
        .map(|(_, value)| value)
}

/// Every name there is for a program type.
pub fn names(prog_type: ProgType) -> Vec<String> {
    table(prog_type).into_iter().map(|(name, _)| name).collect()
}

fn table(prog_type: ProgType) -> Vec<(String, u32)> {
    let fixed = |names: &[(&str, u32)]| names.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect();
    match prog_type {
        ProgType::SchedCls | ProgType::SchedAct => (action::tc::UNSPEC..=action::tc::TRAP)
            .filter_map(|code| Some((format!("TC_ACT_{}", action::tc::name(code)?), code as u32)))
            .collect(),
        ProgType::Xdp => (action::xdp::ABORTED..=action::xdp::REDIRECT)
            .filter_map(|code| Some((format!("XDP_{}", action::xdp::name(code)?), code)))
            .collect(),
        // enum bpf_ret_code
        ProgType::LwtIn | ProgType::LwtOut | ProgType::LwtXmit | ProgType::LwtSeg6local => {
            fixed(&[("BPF_OK", 0), ("BPF_DROP", 2), ("BPF_REDIRECT", 7), ("BPF_LWT_REROUTE", 128)])
        }
        // include/uapi/linux/netfilter.h
        ProgType::Netfilter => fixed(&[("NF_DROP", 0), ("NF_ACCEPT", 1)]),
        // enum sk_action
        ProgType::SkLookup | ProgType::SkMsg | ProgType::SkSkb | ProgType::SkReuseport => {
            fixed(&[("SK_DROP", 0), ("SK_PASS", 1)])
        }
        ProgType::FlowDissector => {
            fixed(&[("BPF_OK", 0), ("BPF_DROP", 2), ("BPF_FLOW_DISSECTOR_CONTINUE", 129)])
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_there_and_back() {
        for (prog_type, text, value) in [
            (ProgType::SchedCls, "TC_ACT_SHOT", 2),
            (ProgType::SchedCls, "SHOT", 2),
            (ProgType::SchedCls, "TC_ACT_UNSPEC", u32::MAX),
            (ProgType::Xdp, "DROP", 1),
            (ProgType::Xdp, "XDP_REDIRECT", 4),
            (ProgType::LwtXmit, "BPF_LWT_REROUTE", 128),
        ] {
            assert_eq!(parse(prog_type, text), Some(value), "{text}");
        }
        assert_eq!(parse(ProgType::Xdp, "TC_ACT_SHOT"), None);
        assert_eq!(describe(ProgType::SchedCls, u32::MAX), "-1 (TC_ACT_UNSPEC)");
        assert_eq!(describe(ProgType::CgroupSkb, 1), "1");
        assert_eq!(describe(ProgType::Xdp, 9), "9");
    }
}
