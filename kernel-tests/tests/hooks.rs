//! Programs no BPF_PROG_TEST_RUN knows, where the kernel calls them: attached to a control group, while this process
//! connects, binds, sends and sets. What a program read of its context there is the context the simulator is given, and
//! all it did with it must agree. Needs root and a mounted cgroup2.

#![allow(clippy::format_push_string, clippy::format_collect)] // programs are texts put together from pieces

#[path = "hooks/options.rs"]
mod options;
#[path = "hooks/planes.rs"]
mod planes;

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bpftwin_kernel_tests::sys::{Cgroup, Socket};
use bpftwin_sim::uapi::{AttachType as A, ProgType};
use planes::{Hook, Out};

/// Offsets of `struct bpf_sock_addr`, and whether the field is there for IPv4 and for IPv6.
const ADDR: &[(u32, u32)] = &[(0, 4), (24, 4), (28, 4), (32, 4), (36, 4)];

/// The socket of a `struct bpf_sock_addr`, as far as its own fields do not tell it.
fn addr_fields(v6: bool, msg_src: bool) -> Vec<(u32, u32)> {
    let mut fields = ADDR.to_vec();
    fields.extend(if v6 { vec![(8, 8), (16, 8)] } else { vec![(4, 4)] });
    if msg_src {
        fields.extend(if v6 { vec![(44, 4), (48, 8), (56, 4)] } else { vec![(40, 4)] });
    }
    fields
}

/// `struct bpf_sock` of `r1`'s `sk` at `offset`: what is the same in a simulator that is given the context alone.
fn socket_fields(at: u32) -> String {
    let mut text = String::new();
    for offset in [0, 4, 8, 12, 16, 20, 24, 44, 72, 76] {
        text += &format!(
            "r8 = *(u64 *)(r6 +{at}); r0 = 0; if r8 == 0 goto +1; r0 = *(u32 *)(r8 +{offset}); r0 <<= 32; out\n"
        );
    }
    text
}

fn cgroup() -> Cgroup {
    Cgroup::enter(&format!("bpftwin-hooks-{}", std::process::id())).expect("a cgroup2 to make a group in")
}

/// One test, since a process is in one group.
#[test]
fn hooks() {
    let cgroup = cgroup();
    planes::fresh_network();
    // What the simulator's kernel has.
    std::fs::write("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 6291456").unwrap();
    // Each is tried whatever the others say.
    let groups: [fn(&Cgroup); 7] = [connects, datagrams, binds, names, socket_options, sysctls, tcp_events];
    let failed = groups.iter().filter(|group| catch_unwind(AssertUnwindSafe(|| group(&cgroup))).is_err());
    assert_eq!(failed.count(), 0, "groups that differ are told of above");
}

fn sock_addr(attach_type: A, v6: bool, msg_src: bool, body: &str) -> Hook {
    Hook::new(ProgType::CgroupSockAddr, attach_type, &addr_fields(v6, msg_src), body)
}

fn connects(cgroup: &Cgroup) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let listener6 = TcpListener::bind("[::1]:0").unwrap();
    let to = [listener.local_addr().unwrap(), listener6.local_addr().unwrap()];
    for (v6, attach_type) in [(false, A::CgroupInet4Connect), (true, A::CgroupInet6Connect)] {
        let to = to[usize::from(v6)];
        let tcp = || drop(TcpStream::connect(to));
        for body in options::bodies("r1 = r6", false) {
            let body = socket_fields(64) + &body + &socket_fields(64);
            sock_addr(attach_type, v6, false, &body).agree(cgroup, tcp);
            sock_addr(attach_type, v6, false, &body).agree(cgroup, || udp(to));
        }
        for body in options::binds(v6) {
            sock_addr(attach_type, v6, false, &(body + &socket_fields(64))).agree(cgroup, || {
                let _ = TcpStream::connect(to);
            });
        }
    }
    // Sent elsewhere, and the answer of the system call.
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = u32::from(elsewhere.local_addr().unwrap().port().to_be());
    let body = format!("r2 = {port}; *(u32 *)(r6 +24) = r2; r0 = *(u32 *)(r6 +24); out");
    sock_addr(A::CgroupInet4Connect, false, false, &body).agree(cgroup, || {
        let stream = TcpStream::connect(to[0]).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), elsewhere.local_addr().unwrap());
    });
    let body = "call 186; out; r1 = -5; call 187; out; call 186; out";
    sock_addr(A::CgroupInet4Connect, false, false, body).agree(cgroup, || {
        let _ = TcpStream::connect(to[0]);
    });
}

/// A UDP socket that has no port before it is connected.
fn udp(to: SocketAddr) {
    let family = if to.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let socket = Socket::new(family, libc::SOCK_DGRAM, 0).unwrap();
    let _ = socket.connect_to(to);
}

fn datagrams(cgroup: &Cgroup) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let receiver6 = UdpSocket::bind("[::1]:0").unwrap();
    let (to, to6) = (receiver.local_addr().unwrap(), receiver6.local_addr().unwrap());
    for (v6, to, attach_type) in [(false, to, A::CgroupUdp4Sendmsg), (true, to6, A::CgroupUdp6Sendmsg)] {
        for body in options::bodies("r1 = r6", false) {
            sock_addr(attach_type, v6, true, &body).agree(cgroup, || {
                let family = if v6 { libc::AF_INET6 } else { libc::AF_INET };
                let _ = Socket::new(family, libc::SOCK_DGRAM, 0).unwrap().send_to(b"x", to);
            });
        }
    }
    let body = "r2 = 16777343; *(u32 *)(r6 +40) = r2; r0 = *(u32 *)(r6 +40); out; r0 = *(u8 *)(r6 +43); out";
    sock_addr(A::CgroupUdp4Sendmsg, false, true, body).agree(cgroup, || {
        Socket::new(libc::AF_INET, libc::SOCK_DGRAM, 0).unwrap().send_to(b"x", to).unwrap();
    });
}

fn binds(cgroup: &Cgroup) {
    for body in options::bodies("r1 = r6", false) {
        let body = socket_fields(64) + &body;
        sock_addr(A::CgroupInet4Bind, false, false, &body).agree(cgroup, || {
            Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap().bind(0).unwrap();
        });
    }
}

fn names(cgroup: &Cgroup) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let body = "r2 = 0x0100000a; *(u32 *)(r6 +4) = r2; r2 = 0x5000; *(u32 *)(r6 +24) = r2; r0 = *(u32 *)(r6 +4); out";
    for (attach_type, own) in [(A::CgroupInet4Getpeername, false), (A::CgroupInet4Getsockname, true)] {
        sock_addr(attach_type, false, false, body).agree(cgroup, || {
            let name = if own { stream.local_addr() } else { stream.peer_addr() };
            assert_eq!(name.unwrap(), SocketAddr::from((Ipv4Addr::new(10, 0, 0, 1), 80)));
        });
    }
}

/// Offsets of `struct bpf_sockopt` that may be read.
const SOCKOPT: &[(u32, u32)] = &[(24, 4), (28, 4), (32, 4)];

fn socket_options(cgroup: &Cgroup) {
    let socket = || Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).unwrap();
    let value = "r8 = *(u64 *)(r6 +8); r9 = *(u64 *)(r6 +16); r0 = r9; r0 -= r8; out
                 r0 = 0; r1 = r8; r1 += 4; if r1 > r9 goto +1; r0 = *(u32 *)(r8 +0); out\n";
    let set = |body: &str| Hook::new(ProgType::CgroupSockopt, A::CgroupSetsockopt, SOCKOPT, body);
    // The kernel gives such a program at least 16 bytes.
    let (value_set, mut data) = (0x10_i32.to_le_bytes(), [0; 16]);
    data[..4].copy_from_slice(&value_set);
    for body in options::bodies("r1 = *(u64 *)(r6 +0)", false) {
        // The pointer is never NULL there, which the verifier knows.
        set(&body).with_data(&data).agree(cgroup, || {
            let _ = socket().set_option(0, 1, &value_set);
        });
    }
    let change = "call 186; out; r8 = *(u64 *)(r6 +8); r9 = *(u64 *)(r6 +16); r1 = r8; r1 += 4; if r1 > r9 goto +1
                  *(u32 *)(r8 +0) = 32; r2 = 1; *(u32 *)(r6 +24) = r2; r2 = 7; *(u32 *)(r6 +28) = r2; r0 = *(u32 *)(r6 +28); out\n";
    set(&format!("{value}{change}{value}")).with_data(&data).agree(cgroup, || {
        let socket = socket();
        socket.set_option(0, 1, &value_set).unwrap();
        // `SO_SNDBUF`, at its least.
        assert_eq!(socket.option(1, 7, 4).unwrap(), 4608_i32.to_le_bytes());
    });
    let mut fields = SOCKOPT.to_vec();
    fields.push((36, 4));
    let get = "call 186; out; r1 = -3; call 187; out; r0 = *(u32 *)(r6 +36); out; *(u32 *)(r6 +36) = 0; call 186; out\n";
    // What the kernel found before the program: 0, the type of service.
    let hook =
        Hook::new(ProgType::CgroupSockopt, A::CgroupGetsockopt, &fields, &format!("{value}{get}{value}"));
    hook.with_data(&0_i32.to_le_bytes()).agree(cgroup, || drop(socket().option(0, 1, 4)));
}

fn sysctls(cgroup: &Cgroup) {
    let name = "net/ipv4/ip_local_port_range";
    let path = format!("/proc/sys/{name}");
    let mut body = String::new();
    for flags in [0, 1, 2] {
        for len in [1, 4, 8, 9, 20, 21, 28, 29, 30, 40] {
            body += &options::filled(40);
            body += &format!("r1 = r6; r2 = r10; r2 += -40; r3 = {len}; r4 = {flags}; call 101; out\n");
            body += &options::buffer(40);
        }
    }
    for helper in [102, 103] {
        for len in [1, 5, 11, 12, 13, 40] {
            body += &options::filled(40);
            body += &format!("r1 = r6; r2 = r10; r2 += -40; r3 = {len}; call {helper}; out\n");
            body += &options::buffer(40);
        }
    }
    let set = "*(u64 *)(r10 -16) = 0; r2 = 0x30303034; *(u32 *)(r10 -16) = r2; r2 = 0x30303720; *(u32 *)(r10 -12) = r2
               *(u32 *)(r10 -8) = 0x30; r1 = r6; r2 = r10; r2 += -16; r3 = 9; call 104; out\n";
    let body = format!("{body}{set}{}", options::filled(40))
        + "r1 = r6; r2 = r10; r2 += -40; r3 = 40; call 103; out\n"
        + &options::buffer(40);
    let hook = Hook::new(ProgType::CgroupSysctl, A::CgroupSysctl, &[(0, 4), (4, 4)], &body);
    let now = std::fs::read_to_string(&path).unwrap();
    let data = |new: &str| format!("{name}\0{now}\0{new}").into_bytes();
    hook.clone().with_data(&data("")).agree(cgroup, || {
        let mut text = String::new();
        std::fs::File::open(&path).unwrap().read_to_string(&mut text).unwrap();
    });
    let Out { data: left, .. } = hook.with_data(&data("1025 65000")).agree(cgroup, || {
        // Once: what it tells to have written is the program's value.
        let _ = std::fs::File::options().write(true).open(&path).unwrap().write(b"1025 65000").unwrap();
    });
    assert_eq!(left, data("4000 7000"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "4000\t7000\n");
    std::fs::write(&path, &now).unwrap();
}

/// Offsets of `struct bpf_sock_ops` that are words, `bytes_received` and `bytes_acked` besides.
fn ops_fields() -> Vec<(u32, u32)> {
    let mut fields: Vec<_> = (0..168).step_by(4).map(|offset| (offset, 4)).collect();
    fields.extend([(168, 8), (176, 8)]);
    fields
}

fn tcp_events(cgroup: &Cgroup) {
    const TCP_CONNECT: u32 = 3;
    const ACTIVE_ESTABLISHED: u32 = 4;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    for op in [TCP_CONNECT, ACTIVE_ESTABLISHED] {
        for body in options::bodies("r1 = r6", true) {
            let flags = "r1 = r6; r2 = 0x185; call 59; out; r0 = *(u32 *)(r6 +84); out; r1 = r6; r2 = 0; call 59; out\n";
            let hook = Hook::new(ProgType::SockOps, A::CgroupSockOps, &ops_fields(), &(body + flags));
            hook.only_for(op).agree(cgroup, || drop(TcpStream::connect(to).unwrap()));
        }
    }
}
