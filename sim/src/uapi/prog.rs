//! Program and attach types: `include/uapi/linux/bpf.h`, v6.12.

use super::kernel_enum::kernel_enum;

kernel_enum! {
    /// `enum bpf_prog_type`.
    ProgType {
        Unspec = 0 "BPF_PROG_TYPE_UNSPEC";
        SocketFilter = 1 "BPF_PROG_TYPE_SOCKET_FILTER";
        Kprobe = 2 "BPF_PROG_TYPE_KPROBE";
        SchedCls = 3 "BPF_PROG_TYPE_SCHED_CLS";
        SchedAct = 4 "BPF_PROG_TYPE_SCHED_ACT";
        Tracepoint = 5 "BPF_PROG_TYPE_TRACEPOINT";
        Xdp = 6 "BPF_PROG_TYPE_XDP";
        PerfEvent = 7 "BPF_PROG_TYPE_PERF_EVENT";
        CgroupSkb = 8 "BPF_PROG_TYPE_CGROUP_SKB";
        CgroupSock = 9 "BPF_PROG_TYPE_CGROUP_SOCK";
        LwtIn = 10 "BPF_PROG_TYPE_LWT_IN";
        LwtOut = 11 "BPF_PROG_TYPE_LWT_OUT";
        LwtXmit = 12 "BPF_PROG_TYPE_LWT_XMIT";
        SockOps = 13 "BPF_PROG_TYPE_SOCK_OPS";
        SkSkb = 14 "BPF_PROG_TYPE_SK_SKB";
        CgroupDevice = 15 "BPF_PROG_TYPE_CGROUP_DEVICE";
        SkMsg = 16 "BPF_PROG_TYPE_SK_MSG";
        RawTracepoint = 17 "BPF_PROG_TYPE_RAW_TRACEPOINT";
        CgroupSockAddr = 18 "BPF_PROG_TYPE_CGROUP_SOCK_ADDR";
        LwtSeg6local = 19 "BPF_PROG_TYPE_LWT_SEG6LOCAL";
        LircMode2 = 20 "BPF_PROG_TYPE_LIRC_MODE2";
        SkReuseport = 21 "BPF_PROG_TYPE_SK_REUSEPORT";
        FlowDissector = 22 "BPF_PROG_TYPE_FLOW_DISSECTOR";
        CgroupSysctl = 23 "BPF_PROG_TYPE_CGROUP_SYSCTL";
        RawTracepointWritable = 24 "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE";
        CgroupSockopt = 25 "BPF_PROG_TYPE_CGROUP_SOCKOPT";
        Tracing = 26 "BPF_PROG_TYPE_TRACING";
        StructOps = 27 "BPF_PROG_TYPE_STRUCT_OPS";
        Ext = 28 "BPF_PROG_TYPE_EXT";
        Lsm = 29 "BPF_PROG_TYPE_LSM";
        SkLookup = 30 "BPF_PROG_TYPE_SK_LOOKUP";
        Syscall = 31 "BPF_PROG_TYPE_SYSCALL";
        Netfilter = 32 "BPF_PROG_TYPE_NETFILTER";
    }
}

kernel_enum! {
    /// `enum bpf_attach_type`.
    AttachType {
        CgroupInetIngress = 0 "BPF_CGROUP_INET_INGRESS";
        CgroupInetEgress = 1 "BPF_CGROUP_INET_EGRESS";
        CgroupInetSockCreate = 2 "BPF_CGROUP_INET_SOCK_CREATE";
        CgroupSockOps = 3 "BPF_CGROUP_SOCK_OPS";
        SkSkbStreamParser = 4 "BPF_SK_SKB_STREAM_PARSER";
        SkSkbStreamVerdict = 5 "BPF_SK_SKB_STREAM_VERDICT";
        CgroupDevice = 6 "BPF_CGROUP_DEVICE";
        SkMsgVerdict = 7 "BPF_SK_MSG_VERDICT";
        CgroupInet4Bind = 8 "BPF_CGROUP_INET4_BIND";
        CgroupInet6Bind = 9 "BPF_CGROUP_INET6_BIND";
        CgroupInet4Connect = 10 "BPF_CGROUP_INET4_CONNECT";
        CgroupInet6Connect = 11 "BPF_CGROUP_INET6_CONNECT";
        CgroupInet4PostBind = 12 "BPF_CGROUP_INET4_POST_BIND";
        CgroupInet6PostBind = 13 "BPF_CGROUP_INET6_POST_BIND";
        CgroupUdp4Sendmsg = 14 "BPF_CGROUP_UDP4_SENDMSG";
        CgroupUdp6Sendmsg = 15 "BPF_CGROUP_UDP6_SENDMSG";
        LircMode2 = 16 "BPF_LIRC_MODE2";
        FlowDissector = 17 "BPF_FLOW_DISSECTOR";
        CgroupSysctl = 18 "BPF_CGROUP_SYSCTL";
        CgroupUdp4Recvmsg = 19 "BPF_CGROUP_UDP4_RECVMSG";
        CgroupUdp6Recvmsg = 20 "BPF_CGROUP_UDP6_RECVMSG";
        CgroupGetsockopt = 21 "BPF_CGROUP_GETSOCKOPT";
        CgroupSetsockopt = 22 "BPF_CGROUP_SETSOCKOPT";
        TraceRawTp = 23 "BPF_TRACE_RAW_TP";
        TraceFentry = 24 "BPF_TRACE_FENTRY";
        TraceFexit = 25 "BPF_TRACE_FEXIT";
        ModifyReturn = 26 "BPF_MODIFY_RETURN";
        LsmMac = 27 "BPF_LSM_MAC";
        TraceIter = 28 "BPF_TRACE_ITER";
        CgroupInet4Getpeername = 29 "BPF_CGROUP_INET4_GETPEERNAME";
        CgroupInet6Getpeername = 30 "BPF_CGROUP_INET6_GETPEERNAME";
        CgroupInet4Getsockname = 31 "BPF_CGROUP_INET4_GETSOCKNAME";
        CgroupInet6Getsockname = 32 "BPF_CGROUP_INET6_GETSOCKNAME";
        XdpDevmap = 33 "BPF_XDP_DEVMAP";
        CgroupInetSockRelease = 34 "BPF_CGROUP_INET_SOCK_RELEASE";
        XdpCpumap = 35 "BPF_XDP_CPUMAP";
        SkLookup = 36 "BPF_SK_LOOKUP";
        Xdp = 37 "BPF_XDP";
        SkSkbVerdict = 38 "BPF_SK_SKB_VERDICT";
        SkReuseportSelect = 39 "BPF_SK_REUSEPORT_SELECT";
        SkReuseportSelectOrMigrate = 40 "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE";
        PerfEvent = 41 "BPF_PERF_EVENT";
        TraceKprobeMulti = 42 "BPF_TRACE_KPROBE_MULTI";
        LsmCgroup = 43 "BPF_LSM_CGROUP";
        StructOps = 44 "BPF_STRUCT_OPS";
        Netfilter = 45 "BPF_NETFILTER";
        TcxIngress = 46 "BPF_TCX_INGRESS";
        TcxEgress = 47 "BPF_TCX_EGRESS";
        TraceUprobeMulti = 48 "BPF_TRACE_UPROBE_MULTI";
        CgroupUnixConnect = 49 "BPF_CGROUP_UNIX_CONNECT";
        CgroupUnixSendmsg = 50 "BPF_CGROUP_UNIX_SENDMSG";
        CgroupUnixRecvmsg = 51 "BPF_CGROUP_UNIX_RECVMSG";
        CgroupUnixGetpeername = 52 "BPF_CGROUP_UNIX_GETPEERNAME";
        CgroupUnixGetsockname = 53 "BPF_CGROUP_UNIX_GETSOCKNAME";
        NetkitPrimary = 54 "BPF_NETKIT_PRIMARY";
        NetkitPeer = 55 "BPF_NETKIT_PEER";
        TraceKprobeSession = 56 "BPF_TRACE_KPROBE_SESSION";
    }
}

impl ProgType {
    /// Why no program of this type can be simulated; `None` for those that can.
    pub const fn not_simulated(self) -> Option<&'static str> {
        Some(match self {
            Self::Kprobe
            | Self::Tracepoint
            | Self::PerfEvent
            | Self::RawTracepoint
            | Self::RawTracepointWritable
            | Self::Tracing => {
                "it runs where the kernel's own code passes, and there is none of that code here"
            }
            Self::Lsm => "it runs at the kernel's security hooks, which are not here",
            Self::Ext => "it takes the place of a function in another program that is already loaded",
            Self::StructOps => "it implements a part of the kernel, and that part is not here",
            Self::LircMode2 => "it decodes an infrared receiver's signals, and there is no receiver",
            _ => return None,
        })
    }
}

/// The least and the greatest value the verifier lets a program return; `None`: any (`kernel/bpf/verifier.c:
/// check_return_code`, v6.12).
pub const fn return_range(prog_type: ProgType, attach_type: Option<AttachType>) -> Option<(i64, i64)> {
    use AttachType as A;
    Some(match (prog_type, attach_type) {
        (
            ProgType::CgroupSockAddr,
            Some(
                A::CgroupUdp4Recvmsg
                | A::CgroupUdp6Recvmsg
                | A::CgroupUnixRecvmsg
                | A::CgroupInet4Getpeername
                | A::CgroupInet6Getpeername
                | A::CgroupUnixGetpeername
                | A::CgroupInet4Getsockname
                | A::CgroupInet6Getsockname
                | A::CgroupUnixGetsockname,
            ),
        ) => (1, 1),
        (ProgType::CgroupSockAddr, Some(A::CgroupInet4Bind | A::CgroupInet6Bind))
        | (ProgType::CgroupSkb, Some(A::CgroupInetEgress)) => (0, 3),
        (
            ProgType::CgroupSockAddr
            | ProgType::CgroupSock
            | ProgType::SockOps
            | ProgType::CgroupDevice
            | ProgType::CgroupSysctl
            | ProgType::CgroupSockopt
            | ProgType::CgroupSkb
            | ProgType::SkLookup
            | ProgType::Netfilter,
            _,
        ) => (0, 1),
        _ => return None,
    })
}

/// A set of program types.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProgTypes(u64);

impl ProgTypes {
    /// No type.
    pub const NONE: Self = Self(0);
    /// Every type.
    pub const ALL: Self = Self(u64::MAX);

    /// The set of these types.
    pub const fn of(types: &[ProgType]) -> Self {
        let mut bits = 0;
        let mut index = 0;
        while index < types.len() {
            bits |= 1 << types[index] as u32;
            index += 1;
        }
        Self(bits)
    }

    /// The types in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The types of this set that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set has this type.
    pub const fn contains(self, prog_type: ProgType) -> bool {
        self.0 & (1 << prog_type as u32) != 0
    }
}
