//! Maps that hold sockets, and storage of sockets, with sockets of every kind.

use bpftwin_kernel_tests::sys::{Errno, Netlink, Socket};
use bpftwin_sim::bpf::map::{MapSpec, Reference, SocketRef};
use bpftwin_sim::uapi::MapType;
use bpftwin_sim::uapi::map::BPF_F_NO_PREALLOC;
use proptest::prelude::*;

use super::twin::{Op, Twin, machine, spec, typed};
use super::{flags, numbers};

const TCP_ESTABLISHED: u32 = 1;
const TCP_CLOSE: u32 = 7;
const TCP_LISTEN: u32 = 10;

/// A socket on both sides.
type Pair = (Socket, SocketRef);

fn pair(socket: Socket, family: i32, kind: i32, protocol: i32, state: u32) -> Pair {
    let cookie = socket.cookie().expect("SO_COOKIE");
    let sim = SocketRef {
        guest: cookie * 256,
        cookie,
        family: family as u16,
        sock_type: kind as u32,
        protocol: protocol as u16,
        state,
        hashed: false,
        in_reuseport_group: false,
        held_by: None,
    };
    (socket, sim)
}

fn inet(kind: i32) -> Socket {
    Socket::new(libc::AF_INET, kind, 0).expect("a socket")
}

fn tcp(socket: Socket, state: u32) -> Pair {
    let (socket, sim) = pair(socket, libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP, state);
    (socket, SocketRef { hashed: state != TCP_CLOSE, ..sim })
}

fn udp(socket: Socket, hashed: bool, state: u32) -> Pair {
    let (socket, sim) = pair(socket, libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP, state);
    (socket, SocketRef { hashed, ..sim })
}

/// The loopback of this thread's namespace comes up.
pub fn loopback_up() {
    const RTM_NEWLINK: u16 = 16;
    let up = [0, 1, 1, 1].map(u32::to_ne_bytes).concat();
    Netlink::open().expect("a socket").request(RTM_NEWLINK, 0, &up).expect("CAP_NET_ADMIN");
}

/// One of each kind.
fn sockets() -> Result<Vec<Pair>, Errno> {
    loopback_up();
    let mut all =
        vec![tcp(inet(libc::SOCK_STREAM), TCP_CLOSE), udp(inet(libc::SOCK_DGRAM), false, TCP_CLOSE)];
    let listener = inet(libc::SOCK_STREAM);
    let port = listener.bind(0)?;
    listener.listen()?;
    let client = inet(libc::SOCK_STREAM);
    client.connect(port)?;
    all.push(tcp(listener, TCP_LISTEN));
    all.push(tcp(client, TCP_ESTABLISHED));
    let mut port = 0;
    for _ in 0..2 {
        let grouped = inet(libc::SOCK_DGRAM);
        grouped.reuse_port()?;
        port = grouped.bind(port)?;
        let (grouped, sim) = udp(grouped, true, TCP_CLOSE);
        all.push((grouped, SocketRef { in_reuseport_group: true, ..sim }));
    }
    let grouped = inet(libc::SOCK_STREAM);
    grouped.reuse_port()?;
    grouped.bind(0)?;
    grouped.listen()?;
    let (grouped, sim) = tcp(grouped, TCP_LISTEN);
    all.push((grouped, SocketRef { in_reuseport_group: true, ..sim }));
    let bound = inet(libc::SOCK_DGRAM);
    let port = bound.bind(0)?;
    all.push(udp(bound, true, TCP_CLOSE));
    let connected = inet(libc::SOCK_DGRAM);
    connected.connect(port)?;
    all.push(udp(connected, true, TCP_ESTABLISHED));
    for kind in [libc::SOCK_STREAM, libc::SOCK_DGRAM, libc::SOCK_SEQPACKET] {
        let [one, _other] = Socket::unix_pair(kind)?;
        all.push(pair(one, libc::AF_UNIX, kind, 0, TCP_ESTABLISHED));
    }
    let raw = Socket::new(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)?;
    all.push(pair(raw, libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP, TCP_CLOSE));
    for _ in 0..2 {
        let xdp = Socket::new(libc::AF_XDP, libc::SOCK_RAW, 0)?;
        all.push(pair(xdp, libc::AF_XDP, libc::SOCK_RAW, 0, 0));
    }
    let netlink = Socket::new(libc::AF_NETLINK, libc::SOCK_RAW, 0)?;
    all.push(pair(netlink, libc::AF_NETLINK, libc::SOCK_RAW, 0, TCP_CLOSE));
    Ok(all)
}

const KINDS: usize = 16;

#[derive(Clone, Debug)]
enum Step {
    Set(Vec<u8>, usize, u64),
    Plain(Op),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let keys = numbers(4, 6);
    let step = prop_oneof![
        8 => (keys.clone(), 0..KINDS, flags()).prop_map(|(k, n, f)| Step::Set(k, n, f)),
        2 => keys.clone().prop_map(|k| Step::Plain(Op::Delete(k))),
        2 => (keys.clone(), flags()).prop_map(|(k, f)| Step::Plain(Op::Lookup(k, f))),
        1 => prop::option::of(keys).prop_map(|k| Step::Plain(Op::NextKey(k))),
    ];
    prop::collection::vec(step, 1..60)
}

fn set(twin: &mut Twin, key: &[u8], (socket, sim): &Pair, flags: u64) -> Result<(), TestCaseError> {
    let mut fd = u64::from(socket.raw()).to_le_bytes().to_vec();
    fd.truncate(twin.kernel.value_size());
    let done = twin.machine.maps.sys_update_reference(twin.id, key, Reference::Socket(*sim), flags);
    prop_assert_eq!(done, twin.kernel.update(key, &fd, flags), "{:?} {:?} flags {}", key, sim, flags);
    Ok(())
}

#[derive(Clone, Debug)]
enum Storing {
    Update(usize, u8, u64),
    Lookup(usize, u64),
    Delete(usize),
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn maps_of_sockets(
        map_type in prop::sample::select(vec![
            MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray, MapType::Xskmap,
        ]),
        wide: bool,
        max_entries in 1..6u32,
        steps in steps(),
    ) {
        let wide = wide && map_type != MapType::Xskmap;
        let spec: MapSpec = spec(map_type, 4, if wide { 8 } else { 4 }, max_entries, 0);
        let Some(mut twin) = Twin::create(&spec)? else { return Ok(()) };
        let sockets = sockets().expect("sockets of every kind");
        prop_assert_eq!(sockets.len(), KINDS);
        for step in &steps {
            match step {
                Step::Set(key, number, flags) => set(&mut twin, key, &sockets[*number], *flags)?,
                Step::Plain(op) => twin.step(op)?,
            }
        }
        twin.same_contents()?;
        // A closed socket leaves the map.
        for (socket, sim) in sockets {
            drop(socket);
            twin.machine.maps.forget_socket(sim.cookie);
        }
        twin.same_contents()?;
    }

    #[test]
    fn storage_of_sockets(
        value_size in prop::sample::select(vec![1u32, 8, 13]),
        steps in prop::collection::vec(prop_oneof![
            4 => (0..KINDS, any::<u8>(), flags()).prop_map(|(n, v, f)| Storing::Update(n, v, f)),
            2 => (0..KINDS, flags()).prop_map(|(n, f)| Storing::Lookup(n, f)),
            1 => (0..KINDS).prop_map(Storing::Delete),
        ], 1..80),
    ) {
        let spec = typed(spec(MapType::SkStorage, 4, value_size, 0, BPF_F_NO_PREALLOC));
        let mut twin = Twin::create(&spec)?.expect("created");
        let sockets = sockets().expect("sockets of every kind");
        for step in &steps {
            let (Storing::Update(number, ..) | Storing::Lookup(number, _) | Storing::Delete(number)) = step;
            let (socket, sim) = &sockets[*number];
            let (fd, owner, id) = (socket.raw().to_le_bytes(), Reference::Socket(*sim), twin.id);
            let (maps, mut ctx) = twin.machine.maps();
            match step {
                Storing::Update(_, byte, flags) => {
                    let value = vec![*byte; value_size as usize];
                    let done = maps.sys_update_of(&mut ctx, id, owner, &value, *flags);
                    prop_assert_eq!(done, twin.kernel.update(&fd, &value, *flags), "{:?}", step);
                }
                Storing::Lookup(_, flags) => {
                    let found = maps.sys_lookup_of(&mut ctx, id, owner, *flags);
                    prop_assert_eq!(found, twin.kernel.lookup(&fd, *flags), "{:?}", step);
                }
                Storing::Delete(_) => {
                    prop_assert_eq!(maps.sys_delete_of(id, owner), twin.kernel.delete(&fd), "{:?}", step);
                }
            }
        }
    }
}

/// A descriptor of something else.
#[test]
fn what_is_no_socket() {
    let file = std::fs::File::open("/dev/null").expect("a file");
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file) as u32;
    for map_type in [MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray, MapType::Xskmap] {
        let twin = Twin::create(&spec(map_type, 4, 4, 1, 0)).expect("alike").expect("created");
        let mut maps = twin.machine.maps;
        let program = Reference::PerfEvent { cpu: 0 };
        let sim = maps.sys_update_reference(twin.id, &[0; 4], program, 0);
        assert_eq!(sim, twin.kernel.update(&[0; 4], &fd.to_le_bytes(), 0), "{map_type}");
    }
    for map_type in [MapType::SkStorage, MapType::CgrpStorage] {
        let spec = typed(spec(map_type, 4, 8, 0, BPF_F_NO_PREALLOC));
        let mut twin = Twin::create(&spec).expect("alike").expect("created");
        let (maps, mut ctx) = twin.machine.maps();
        let sim = maps.sys_lookup_of(&mut ctx, twin.id, Reference::PerfEvent { cpu: 0 }, 0);
        assert_eq!(sim, twin.kernel.lookup(&fd.to_le_bytes(), 0), "{map_type}");
    }
}

/// A socket in one kind of map cannot be in another, except that socket maps and socket hashes share.
#[test]
fn one_socket_in_several_maps() {
    let types = [MapType::Sockmap, MapType::Sockhash, MapType::ReuseportSockarray];
    for first in types {
        for second in types {
            let mut sim = machine();
            let mut kernel = Vec::new();
            for map_type in [first, second] {
                let spec = spec(map_type, 4, 8, 2, 0);
                let twin = Twin::create(&spec).expect("alike").expect("created");
                let (maps, mut ctx) = sim.maps();
                kernel.push((maps.create(&mut ctx, &spec).expect("created"), twin.kernel));
            }
            let sockets = sockets().expect("sockets of every kind");
            let (socket, grouped) = sockets.iter().find(|(_, sim)| sim.in_reuseport_group).expect("one");
            for key in [0_u32, 1] {
                for (id, map) in &kernel {
                    let key = key.to_le_bytes();
                    let done = sim.maps.sys_update_reference(*id, &key, Reference::Socket(*grouped), 0);
                    let fd = u64::from(socket.raw()).to_le_bytes();
                    assert_eq!(done, map.update(&key, &fd, 0), "{first} {second}");
                }
            }
        }
    }
}
