//! What a program may answer: `include/uapi/linux/pkt_cls.h` and `include/uapi/linux/bpf.h`, v6.12.

/// `TC_ACT_*`, returned by sched_cls and sched_act programs.
#[allow(missing_docs)]
pub mod tc {
    pub const UNSPEC: i32 = -1;
    pub const OK: i32 = 0;
    pub const RECLASSIFY: i32 = 1;
    pub const SHOT: i32 = 2;
    pub const PIPE: i32 = 3;
    pub const STOLEN: i32 = 4;
    pub const QUEUED: i32 = 5;
    pub const REPEAT: i32 = 6;
    pub const REDIRECT: i32 = 7;
    pub const TRAP: i32 = 8;

    /// The constant's name without `TC_ACT_`.
    pub const fn name(action: i32) -> Option<&'static str> {
        Some(match action {
            UNSPEC => "UNSPEC",
            OK => "OK",
            RECLASSIFY => "RECLASSIFY",
            SHOT => "SHOT",
            PIPE => "PIPE",
            STOLEN => "STOLEN",
            QUEUED => "QUEUED",
            REPEAT => "REPEAT",
            REDIRECT => "REDIRECT",
            TRAP => "TRAP",
            _ => return None,
        })
    }
}

/// `XDP_*`, `enum xdp_action`.
#[allow(missing_docs)]
pub mod xdp {
    pub const ABORTED: u32 = 0;
    pub const DROP: u32 = 1;
    pub const PASS: u32 = 2;
    pub const TX: u32 = 3;
    pub const REDIRECT: u32 = 4;

    /// The constant's name without `XDP_`.
    pub const fn name(action: u32) -> Option<&'static str> {
        Some(match action {
            ABORTED => "ABORTED",
            DROP => "DROP",
            PASS => "PASS",
            TX => "TX",
            REDIRECT => "REDIRECT",
            _ => return None,
        })
    }
}
