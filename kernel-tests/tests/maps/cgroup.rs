//! sock_ops programs, attached to a cgroup and run by a connection of this process.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use bpftwin_kernel_tests::sys::Socket;
use bpftwin_sim::net::GivenRun;
use bpftwin_sim::uapi::ctx::sock_ops::{IS_FULLSOCK, OP};
use bpftwin_sim::uapi::map::BPF_F_NO_PREALLOC;
use bpftwin_sim::uapi::{AttachType, MapType, ProgType};

use super::rig::{OUT, Rig};
use super::twin::{spec, typed};

const OPS: (ProgType, AttachType) = (ProgType::SockOps, AttachType::CgroupSockOps);
/// `BPF_SOCK_OPS_TCP_CONNECT_CB`.
const CONNECT: u8 = 3;
/// `BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB`.
const ESTABLISHED: u8 = 4;

/// A cgroup of our own, with this process in it until it is dropped.
struct Cgroup {
    before: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    fn new() -> Self {
        let mounts = fs::read_to_string("/proc/mounts").expect("mounts");
        let root = mounts.lines().find_map(|line| match line.split(' ').collect::<Vec<_>>()[..] {
            [_, at, "cgroup2", ..] => Some(PathBuf::from(at)),
            _ => None,
        });
        let root = root.expect("a cgroup2 file system is mounted");
        let own = fs::read_to_string("/proc/self/cgroup").expect("a cgroup");
        let own = own.lines().find_map(|line| line.strip_prefix("0::/")).expect("every process is in one");
        let before = root.join(own);
        let path = root.join(format!("bpftwin-{}", std::process::id()));
        fs::create_dir(&path).expect("CAP_SYS_ADMIN");
        let cgroup = Self { before, path };
        fs::write(cgroup.path.join("cgroup.procs"), "0").expect("CAP_SYS_ADMIN");
        cgroup
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::write(self.before.join("cgroup.procs"), "0").expect("it was there before");
        fs::remove_dir(&self.path).expect("it is empty");
    }
}

/// `what` for two operations of the connection from this port; results go to `*(r7)`.
fn program(port: u16, what: &str) -> String {
    format!(
        "r6 = r1; r1 = *(u32 *)(r6 +68); if r1 != {port} goto none; r8 = *(u32 *)(r6 +0); r7 = value ll;
         if r8 == {CONNECT} goto some; if r8 != {ESTABLISHED} goto none; r7 += 64
         some:
         {what}; if r8 != {ESTABLISHED} goto none; r7 = value ll; *(u8 *)(r7 +{}) = 1
         none:
         r0 = 1; exit",
        OUT - 1
    )
}

#[test]
fn connections_enter_maps() {
    let cgroup = Cgroup::new();
    let directory = File::open(&cgroup.path).expect("it was made");
    let storage = typed(spec(MapType::SkStorage, 4, 8, 0, BPF_F_NO_PREALLOC));
    for (map_type, helper) in [(MapType::Sockmap, 53), (MapType::Sockhash, 70)] {
        let mut rig = Rig::new(&[spec(map_type, 4, 4, 2, 0), storage.clone()]);
        super::sockets::loopback_up();
        let update = |key: u32, flags: u64, at: u32| {
            format!(
                "*(u32 *)(r10 -4) = {key}; r1 = r6; r2 = map0 ll; r3 = r10; r3 += -4; r4 = {flags}; call {helper};
                 *(u64 *)(r7 +{at}) = r0"
            )
        };
        let delete = "*(u32 *)(r10 -4) = 0; r1 = map0 ll; r2 = r10; r2 += -4; call 3; *(u64 *)(r7 +24) = r0";
        let socket = "r9 = *(u64 *)(r6 +184); if r9 == 0 goto none; *(u64 *)(r7 +0) = 1";
        let store = "r1 = map1 ll; r2 = r9; r3 = 0; r4 = 1; call 107; if r0 == 0 goto none; r1 = *(u64 *)(r0 +0); r1 += 5;
                     *(u64 *)(r0 +0) = r1; r1 = map1 ll; r2 = r9; call 108; *(u64 *)(r7 +8) = r0;
                     r1 = map1 ll; r2 = r9; call 108; *(u64 *)(r7 +16) = r0";
        let tcp = "r1 = r9; call 96; if r0 == 0 goto none; *(u64 *)(r7 +24) = 1; r1 = r9; call 137; if r0 == 0 goto none;
                   *(u64 *)(r7 +32) = 1; r1 = *(u32 *)(r9 +4); *(u64 *)(r7 +40) = r1; r1 = *(u32 *)(r9 +12);
                   *(u64 *)(r7 +48) = r1";
        for what in [
            update(0, 0, 0),
            format!("{}; {}", update(0, 0, 0), update(1, 1, 8)),
            format!("{}; {}; {delete}", update(0, 0, 0), update(0, 1, 8)),
            format!("{}; {}; {}; {delete}", update(0, 2, 0), update(0, 3, 8), update(9, 0, 16)),
            format!("{socket}; {store}; {tcp}"),
        ] {
            let client = Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
            let listener = Socket::new(libc::AF_INET, libc::SOCK_STREAM, 0).expect("a socket");
            let (from, to) = (client.bind(0).expect("a port"), listener.bind(0).expect("a port"));
            listener.listen().expect("it is bound");
            let text = program(from, &what);
            let prog = rig.load(OPS, &text).unwrap_or_else(|log| panic!("{text}\n{log}"));
            prog.attach(directory.as_raw_fd() as u32, OPS.1 as u32).expect("CAP_NET_ADMIN");
            rig.set_out(&[]);
            client.connect(to).expect("it listens");
            let real = rig.left();
            drop(client);
            let mut ctx = [0; 224];
            (ctx[20], ctx[IS_FULLSOCK], ctx[88]) = (2, 1, 2);
            ctx[68..70].copy_from_slice(&from.to_le_bytes());
            let mut simulated = vec![0; OUT];
            for op in [CONNECT, ESTABLISHED] {
                ctx[OP] = op;
                let out = rig.given(OPS, &text, &GivenRun { ctx: &ctx, ..GivenRun::default() });
                simulated.iter_mut().zip(out).for_each(|(sum, byte)| *sum |= byte);
            }
            assert_eq!(simulated, real, "{text}");
        }
    }
}
