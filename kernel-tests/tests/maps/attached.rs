//! Programs that no kernel runs on demand: attached to maps of sockets and to groups of sockets, and run by what is sent.

use bpftwin_kernel_tests::sys::Socket;
use bpftwin_sim::net::{self, GivenRun};
use bpftwin_sim::uapi::{AttachType, MapType, ProgType};

use super::rig::{AF_INET, OUT, Rig, TCP_ESTABLISHED, TCP_LISTEN, sockets};
use super::twin::spec;

const MSG: (ProgType, AttachType) = (ProgType::SkMsg, AttachType::SkMsgVerdict);
const SKB: (ProgType, AttachType) = (ProgType::SkSkb, AttachType::SkSkbVerdict);
const REUSEPORT: (ProgType, AttachType) = (ProgType::SkReuseport, AttachType::SkReuseportSelect);

/// Calls `helper` with `map1` and this key, leaves what it gives in `out`, and answers `answer`.
fn ask(map_type: MapType, helper: u32, key: u32, flags: u64, answer: u32) -> String {
    let third = if map_type == MapType::Sockmap && helper != 82 {
        format!("r3 = {key}")
    } else {
        "r3 = r10; r3 += -4".to_owned()
    };
    format!(
        "*(u32 *)(r10 -4) = {key}; r2 = map1 ll; {third}; r4 = {flags}; call {helper}; r7 = value ll;
         *(u64 *)(r7 +0) = r0; *(u8 *)(r7 +{}) = 1; r0 = {answer}; exit",
        OUT - 1
    )
}

/// A TCP connection; its two ends.
fn connection() -> [Socket; 2] {
    let make = || Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
    let (listener, client) = (make(), make());
    let port = listener.bind(0).expect("a port");
    listener.listen().expect("it is bound");
    client.connect(port).expect("it listens");
    [listener.accept().expect("it is connected"), client]
}

/// Messages and streams are sent on to sockets of every kind, and to none.
fn sent_on(kind: (ProgType, AttachType), helpers: [u32; 2]) {
    for (map_type, helper) in [(MapType::Sockmap, helpers[0]), (MapType::Sockhash, helpers[1])] {
        let mut rig = Rig::new(&[spec(MapType::Sockmap, 4, 4, 1, 0), spec(map_type, 4, 4, 16, 0)]);
        let all = sockets();
        for (key, (real, described)) in all.iter().enumerate() {
            let sim = rig.socket(described);
            rig.put(1, key as u32, (real, sim));
        }
        assert!(all.iter().any(|(_, sim)| sim.state == TCP_LISTEN));
        for key in 0..=all.len() as u32 {
            for flags in [0, 1, 2, 3, 1 << 31] {
                let text = ask(map_type, helper, key, flags, 0);
                let prog = rig.load(kind, &text).unwrap_or_else(|log| panic!("{text}\n{log}"));
                let [server, client] = connection();
                let through = rig.maps[0].1.raw();
                prog.attach(through, kind.1 as u32).expect("a map of sockets takes it");
                rig.set_out(&[]);
                let fd = client.raw().to_le_bytes();
                rig.maps[0].1.update(&[0; 4], &fd, 0).expect("it is connected");
                // A message passes the program on its way out, a stream on its way in.
                let from = if kind == MSG { &client } else { &server };
                let _ = from.send(b"message");
                let real = rig.left();
                let simulated = rig.given(kind, &text, &GivenRun { data: b"message", ..GivenRun::default() });
                assert_eq!(simulated, real, "{text} {:?}", all.get(key as usize).map(|(_, sim)| sim));
            }
        }
    }
}

#[test]
fn messages_are_sent_on() {
    sent_on(MSG, [60, 71]);
}

#[test]
fn streams_are_sent_on() {
    sent_on(SKB, [52, 72]);
}

/// A datagram for one group, and sockets of it, of others, and of none.
#[test]
fn one_of_a_group_is_selected() {
    for map_type in [MapType::ReuseportSockarray, MapType::Sockmap, MapType::Sockhash] {
        let mut rig = Rig::new(&[spec(MapType::Array, 4, 4, 1, 0), spec(map_type, 4, 8, 16, 0)]);
        let mut all = sockets();
        let grouped = |kind: i32, protocol: i32, port: u16, reuseport_id: u32| {
            let socket = Socket::new(libc::AF_INET, kind, 0).expect("a socket");
            socket.reuse_port().expect("it is new");
            let port = socket.bind(port).expect("a port");
            let described = net::Socket {
                hashed: true,
                reuseport: true,
                reuseport_id,
                ..net::Socket::new(AF_INET, kind as u32, protocol as u16)
            };
            (socket, described, port)
        };
        let (first, described, port) = grouped(libc::SOCK_DGRAM, libc::IPPROTO_UDP, 0, 5);
        let (second, ..) = grouped(libc::SOCK_DGRAM, libc::IPPROTO_UDP, port, 5);
        let (tcp, of_tcp, _) = grouped(libc::SOCK_STREAM, libc::IPPROTO_TCP, 0, 6);
        tcp.listen().expect("it is bound");
        all.push((first, described.clone()));
        all.push((second, described));
        all.push((tcp, net::Socket { state: TCP_LISTEN, ..of_tcp }));
        for (key, (real, described)) in all.iter().enumerate() {
            let sim = rig.socket(described);
            rig.put(1, key as u32, (real, sim));
        }
        assert!(all.iter().any(|(_, sim)| sim.state == TCP_ESTABLISHED));
        let group = &all[all.len() - 2].0;
        let sender = Socket::new(libc::AF_INET, libc::SOCK_DGRAM, 0).expect("a socket");
        sender.connect(port).expect("it is bound");
        let mut ctx = [0; 56];
        (ctx[20], ctx[24]) = (8, libc::IPPROTO_UDP as u8);
        for key in 0..=all.len() as u32 {
            let text = ask(map_type, 82, key, 0, 1);
            let prog = rig.load(REUSEPORT, &text).unwrap_or_else(|log| panic!("{text}\n{log}"));
            group.choose_with(&prog).expect("it is in a group");
            rig.set_out(&[]);
            sender.send(b"message").expect("somebody takes it");
            let real = rig.left();
            let run = GivenRun { ctx: &ctx, data: &[0; 15], reuseport_id: 5, ..GivenRun::default() };
            let simulated = rig.given(REUSEPORT, &text, &run);
            assert_eq!(simulated, real, "{map_type} {text} {:?}", all.get(key as usize).map(|(_, sim)| sim));
        }
    }
}
