//! What a program's section name says about it.

use crate::uapi::prog::{AttachType as A, ProgType as P};

/// What a section name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SectionName {
    /// The program type.
    pub prog_type: P,
    /// `expected_attach_type`; `None` where the name says nothing (0 in the system call).
    pub attach_type: Option<A>,
    /// Programs may sleep.
    pub sleepable: bool,
    /// Programs know XDP packets in several buffers.
    pub xdp_frags: bool,
}

/// What is special about programs of a section.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Plain,
    Sleepable,
    Frags,
}
use Flag::{Frags, Plain, Sleepable};

/// `section_defs` of `tools/lib/bpf/libbpf.c`, v6.12, in its order. A name ending in `+` stands alone or with anything
/// after a `/`.
#[rustfmt::skip]
const NAMES: &[(&str, P, Option<A>, Flag)] = &[
    ("socket", P::SocketFilter, None, Plain),
    ("sk_reuseport/migrate", P::SkReuseport, Some(A::SkReuseportSelectOrMigrate), Plain),
    ("sk_reuseport", P::SkReuseport, Some(A::SkReuseportSelect), Plain),
    ("kprobe+", P::Kprobe, None, Plain),
    ("uprobe+", P::Kprobe, None, Plain),
    ("uprobe.s+", P::Kprobe, None, Sleepable),
    ("kretprobe+", P::Kprobe, None, Plain),
    ("uretprobe+", P::Kprobe, None, Plain),
    ("uretprobe.s+", P::Kprobe, None, Sleepable),
    ("kprobe.multi+", P::Kprobe, Some(A::TraceKprobeMulti), Plain),
    ("kretprobe.multi+", P::Kprobe, Some(A::TraceKprobeMulti), Plain),
    ("kprobe.session+", P::Kprobe, Some(A::TraceKprobeSession), Plain),
    ("uprobe.multi+", P::Kprobe, Some(A::TraceUprobeMulti), Plain),
    ("uretprobe.multi+", P::Kprobe, Some(A::TraceUprobeMulti), Plain),
    ("uprobe.multi.s+", P::Kprobe, Some(A::TraceUprobeMulti), Sleepable),
    ("uretprobe.multi.s+", P::Kprobe, Some(A::TraceUprobeMulti), Sleepable),
    ("ksyscall+", P::Kprobe, None, Plain),
    ("kretsyscall+", P::Kprobe, None, Plain),
    ("usdt+", P::Kprobe, None, Plain),
    ("usdt.s+", P::Kprobe, None, Sleepable),
    ("tc/ingress", P::SchedCls, Some(A::TcxIngress), Plain),
    ("tc/egress", P::SchedCls, Some(A::TcxEgress), Plain),
    ("tcx/ingress", P::SchedCls, Some(A::TcxIngress), Plain),
    ("tcx/egress", P::SchedCls, Some(A::TcxEgress), Plain),
    ("tc", P::SchedCls, None, Plain),
    ("classifier", P::SchedCls, None, Plain),
    ("action", P::SchedAct, None, Plain),
    ("netkit/primary", P::SchedCls, Some(A::NetkitPrimary), Plain),
    ("netkit/peer", P::SchedCls, Some(A::NetkitPeer), Plain),
    ("tracepoint+", P::Tracepoint, None, Plain),
    ("tp+", P::Tracepoint, None, Plain),
    ("raw_tracepoint+", P::RawTracepoint, None, Plain),
    ("raw_tp+", P::RawTracepoint, None, Plain),
    ("raw_tracepoint.w+", P::RawTracepointWritable, None, Plain),
    ("raw_tp.w+", P::RawTracepointWritable, None, Plain),
    ("tp_btf+", P::Tracing, Some(A::TraceRawTp), Plain),
    ("fentry+", P::Tracing, Some(A::TraceFentry), Plain),
    ("fmod_ret+", P::Tracing, Some(A::ModifyReturn), Plain),
    ("fexit+", P::Tracing, Some(A::TraceFexit), Plain),
    ("fentry.s+", P::Tracing, Some(A::TraceFentry), Sleepable),
    ("fmod_ret.s+", P::Tracing, Some(A::ModifyReturn), Sleepable),
    ("fexit.s+", P::Tracing, Some(A::TraceFexit), Sleepable),
    ("freplace+", P::Ext, None, Plain),
    ("lsm+", P::Lsm, Some(A::LsmMac), Plain),
    ("lsm.s+", P::Lsm, Some(A::LsmMac), Sleepable),
    ("lsm_cgroup+", P::Lsm, Some(A::LsmCgroup), Plain),
    ("iter+", P::Tracing, Some(A::TraceIter), Plain),
    ("iter.s+", P::Tracing, Some(A::TraceIter), Sleepable),
    ("syscall", P::Syscall, None, Sleepable),
    ("xdp.frags/devmap", P::Xdp, Some(A::XdpDevmap), Frags),
    ("xdp/devmap", P::Xdp, Some(A::XdpDevmap), Plain),
    ("xdp.frags/cpumap", P::Xdp, Some(A::XdpCpumap), Frags),
    ("xdp/cpumap", P::Xdp, Some(A::XdpCpumap), Plain),
    ("xdp.frags", P::Xdp, Some(A::Xdp), Frags),
    ("xdp", P::Xdp, Some(A::Xdp), Plain),
    ("perf_event", P::PerfEvent, None, Plain),
    ("lwt_in", P::LwtIn, None, Plain),
    ("lwt_out", P::LwtOut, None, Plain),
    ("lwt_xmit", P::LwtXmit, None, Plain),
    ("lwt_seg6local", P::LwtSeg6local, None, Plain),
    ("sockops", P::SockOps, Some(A::CgroupSockOps), Plain),
    ("sk_skb/stream_parser", P::SkSkb, Some(A::SkSkbStreamParser), Plain),
    ("sk_skb/stream_verdict", P::SkSkb, Some(A::SkSkbStreamVerdict), Plain),
    ("sk_skb/verdict", P::SkSkb, Some(A::SkSkbVerdict), Plain),
    ("sk_skb", P::SkSkb, None, Plain),
    ("sk_msg", P::SkMsg, Some(A::SkMsgVerdict), Plain),
    ("lirc_mode2", P::LircMode2, Some(A::LircMode2), Plain),
    ("flow_dissector", P::FlowDissector, Some(A::FlowDissector), Plain),
    ("cgroup_skb/ingress", P::CgroupSkb, Some(A::CgroupInetIngress), Plain),
    ("cgroup_skb/egress", P::CgroupSkb, Some(A::CgroupInetEgress), Plain),
    ("cgroup/skb", P::CgroupSkb, None, Plain),
    ("cgroup/sock_create", P::CgroupSock, Some(A::CgroupInetSockCreate), Plain),
    ("cgroup/sock_release", P::CgroupSock, Some(A::CgroupInetSockRelease), Plain),
    ("cgroup/sock", P::CgroupSock, Some(A::CgroupInetSockCreate), Plain),
    ("cgroup/post_bind4", P::CgroupSock, Some(A::CgroupInet4PostBind), Plain),
    ("cgroup/post_bind6", P::CgroupSock, Some(A::CgroupInet6PostBind), Plain),
    ("cgroup/bind4", P::CgroupSockAddr, Some(A::CgroupInet4Bind), Plain),
    ("cgroup/bind6", P::CgroupSockAddr, Some(A::CgroupInet6Bind), Plain),
    ("cgroup/connect4", P::CgroupSockAddr, Some(A::CgroupInet4Connect), Plain),
    ("cgroup/connect6", P::CgroupSockAddr, Some(A::CgroupInet6Connect), Plain),
    ("cgroup/connect_unix", P::CgroupSockAddr, Some(A::CgroupUnixConnect), Plain),
    ("cgroup/sendmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Sendmsg), Plain),
    ("cgroup/sendmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Sendmsg), Plain),
    ("cgroup/sendmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixSendmsg), Plain),
    ("cgroup/recvmsg4", P::CgroupSockAddr, Some(A::CgroupUdp4Recvmsg), Plain),
    ("cgroup/recvmsg6", P::CgroupSockAddr, Some(A::CgroupUdp6Recvmsg), Plain),
    ("cgroup/recvmsg_unix", P::CgroupSockAddr, Some(A::CgroupUnixRecvmsg), Plain),
    ("cgroup/getpeername4", P::CgroupSockAddr, Some(A::CgroupInet4Getpeername), Plain),
    ("cgroup/getpeername6", P::CgroupSockAddr, Some(A::CgroupInet6Getpeername), Plain),
    ("cgroup/getpeername_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetpeername), Plain),
    ("cgroup/getsockname4", P::CgroupSockAddr, Some(A::CgroupInet4Getsockname), Plain),
    ("cgroup/getsockname6", P::CgroupSockAddr, Some(A::CgroupInet6Getsockname), Plain),
    ("cgroup/getsockname_unix", P::CgroupSockAddr, Some(A::CgroupUnixGetsockname), Plain),
    ("cgroup/sysctl", P::CgroupSysctl, Some(A::CgroupSysctl), Plain),
    ("cgroup/getsockopt", P::CgroupSockopt, Some(A::CgroupGetsockopt), Plain),
    ("cgroup/setsockopt", P::CgroupSockopt, Some(A::CgroupSetsockopt), Plain),
    ("cgroup/dev", P::CgroupDevice, Some(A::CgroupDevice), Plain),
    ("struct_ops+", P::StructOps, None, Plain),
    ("struct_ops.s+", P::StructOps, None, Sleepable),
    ("sk_lookup", P::SkLookup, Some(A::SkLookup), Plain),
    ("netfilter", P::Netfilter, Some(A::Netfilter), Plain),
];

impl SectionName {
    /// Reads a section's name, without a leading `?` (`find_sec_def`, libbpf.c). `None` for a name libbpf does not
    /// know: such a program has no type until someone gives it one.
    pub fn parse(section: &str) -> Option<Self> {
        let matches = |name: &str| match name.strip_suffix('+') {
            Some(prefix) => {
                section.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            }
            None => section == name,
        };
        NAMES.iter().find(|(name, ..)| matches(name)).map(Self::row)
    }

    /// What a name libbpf does not know stands for with loaders that look at its beginning only, such as ebpf-go
    /// (`getProgType`): `tc/entry`, `classifier/ingress`, `xdp_prog`. `None` where they know no type either.
    pub fn by_prefix(section: &str) -> Option<Self> {
        const OLD: &[(&str, P, Option<A>, Flag)] = &[
            ("xdp_devmap/", P::Xdp, Some(A::XdpDevmap), Plain),
            ("xdp_cpumap/", P::Xdp, Some(A::XdpCpumap), Plain),
        ];
        // Those that end in "+" have no more to them than libbpf knows.
        let mut rows = OLD.iter().chain(NAMES.iter().filter(|(name, ..)| !name.ends_with('+')));
        rows.find(|(name, ..)| section.starts_with(name)).map(Self::row)
    }

    fn row(&(_, prog_type, attach_type, flag): &(&str, P, Option<A>, Flag)) -> Self {
        Self { prog_type, attach_type, sleepable: flag == Sleepable, xdp_frags: flag == Frags }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_what_libbpf_says() {
        let parse =
            |name| SectionName::parse(name).map(|s| (s.prog_type, s.attach_type, s.sleepable, s.xdp_frags));
        let table = [
            ("tc", Some((P::SchedCls, None, false, false))),
            ("classifier", Some((P::SchedCls, None, false, false))),
            ("classifier/ingress", None),
            ("tc/ingress", Some((P::SchedCls, Some(A::TcxIngress), false, false))),
            ("tcx/egress", Some((P::SchedCls, Some(A::TcxEgress), false, false))),
            ("netkit/peer", Some((P::SchedCls, Some(A::NetkitPeer), false, false))),
            ("xdp", Some((P::Xdp, Some(A::Xdp), false, false))),
            ("xdp_prog", None),
            ("xdp.frags", Some((P::Xdp, Some(A::Xdp), false, true))),
            ("xdp/devmap", Some((P::Xdp, Some(A::XdpDevmap), false, false))),
            ("cgroup_skb/ingress", Some((P::CgroupSkb, Some(A::CgroupInetIngress), false, false))),
            ("cgroup/skb", Some((P::CgroupSkb, None, false, false))),
            ("cgroup/connect4", Some((P::CgroupSockAddr, Some(A::CgroupInet4Connect), false, false))),
            ("lwt_seg6local", Some((P::LwtSeg6local, None, false, false))),
            ("sk_lookup", Some((P::SkLookup, Some(A::SkLookup), false, false))),
            ("sk_lookup/x", None),
            ("kprobe", Some((P::Kprobe, None, false, false))),
            ("kprobe/tcp_sendmsg", Some((P::Kprobe, None, false, false))),
            ("kprobes", None),
            ("fentry.s/x", Some((P::Tracing, Some(A::TraceFentry), true, false))),
            ("syscall", Some((P::Syscall, None, true, false))),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(parse(name), expected, "SEC(\"{name}\")");
        }
    }

    #[test]
    fn other_names_mean_what_their_beginning_says() {
        let parse = |name| SectionName::by_prefix(name).map(|s| (s.prog_type, s.attach_type));
        let table = [
            ("tc/entry", Some((P::SchedCls, None))),
            ("tc/test/name/check", Some((P::SchedCls, None))),
            ("tcx/ingress/2", Some((P::SchedCls, Some(A::TcxIngress)))),
            ("classifier/ingress", Some((P::SchedCls, None))),
            ("xdp_prog", Some((P::Xdp, Some(A::Xdp)))),
            ("xdp.frags/entry", Some((P::Xdp, Some(A::Xdp)))),
            ("xdp_cpumap/0", Some((P::Xdp, Some(A::XdpCpumap)))),
            ("cgroup/connect4/x", Some((P::CgroupSockAddr, Some(A::CgroupInet4Connect)))),
            ("socket1", Some((P::SocketFilter, None))),
            ("kprobes", None),
            ("2/5", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(parse(name), expected, "SEC(\"{name}\")");
        }
    }
}
