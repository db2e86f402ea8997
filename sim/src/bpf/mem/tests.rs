use super::*;

/// Whether the shadow alone allows a read and a write.
fn glance(mem: &mut Memory, addr: Addr, width: u64) -> (bool, bool) {
    match width {
        1 => (mem.peek::<1>(addr).is_some(), mem.poke::<1>(addr).is_some()),
        2 => (mem.peek::<2>(addr).is_some(), mem.poke::<2>(addr).is_some()),
        4 => (mem.peek::<4>(addr).is_some(), mem.poke::<4>(addr).is_some()),
        _ => (mem.peek::<8>(addr).is_some(), mem.poke::<8>(addr).is_some()),
    }
}

#[test]
fn bounds_are_exact_to_the_byte() {
    let mut mem = Memory::new();
    for len in 1..=40 {
        let base = mem.alloc(ObjectKind::MapValue(1), Access::ReadWrite, len).unwrap();
        for width in [1, 2, 4, 8] {
            for offset in -16_i64..56 {
                let inside = offset >= 0 && offset + width as i64 <= i64::from(len);
                let addr = base.wrapping_add_signed(offset);
                let at = format!("{width} at {offset} of {len}");
                assert_eq!(glance(&mut mem, addr, width), (inside, inside), "{at}");
                assert_eq!(mem.load(addr, width).is_ok(), inside, "load {width} at {offset} of {len}");
                assert_eq!(mem.store(addr, width, 0).is_ok(), inside, "store {width} at {offset} of {len}");
            }
        }
    }
}

#[test]
fn an_object_may_begin_anywhere() {
    let mut mem = Memory::new();
    let base = PACKET_BASE + 3;
    mem.map(Object { base, len: 10, access: Access::ReadWrite, kind: ObjectKind::Packet });
    assert!(mem.load(base, 1).is_ok());
    assert!(mem.load(base - 1, 1).is_err());
    assert!(mem.load(base + 2, 8).is_ok());
    let refused = mem.load(base + 3, 8).unwrap_err();
    assert_eq!(refused.nearest.map(|o| o.kind), Some(ObjectKind::Packet));
    mem.unmap(base);
    assert!(mem.load(base, 1).is_err());
}

#[test]
fn no_access_crosses_the_border_of_two_objects() {
    for border in PACKET_BASE + 16..PACKET_BASE + 24 {
        for metadata_first in [true, false] {
            let mut mem = Memory::new();
            let metadata = (border - 16, ObjectKind::Metadata);
            let packet = (border, ObjectKind::Packet);
            let order = if metadata_first { [metadata, packet] } else { [packet, metadata] };
            for (base, kind) in order {
                mem.map(Object { base, len: 16, access: Access::ReadWrite, kind });
            }
            for width in [1, 2, 4, 8] {
                for addr in border - 18..border + 18 {
                    let end = addr + width;
                    let inside = addr >= border - 16 && end <= border || addr >= border && end <= border + 16;
                    assert_eq!(mem.load(addr, width).is_ok(), inside, "{width} at {addr:#x}");
                    assert_eq!(mem.store(addr, width, 0).is_ok(), inside, "{width} at {addr:#x}");
                    let (read, write) = glance(&mut mem, addr, width);
                    assert!(inside || !read && !write, "{width} at {addr:#x}");
                }
            }
        }
    }
}

#[test]
fn ranges_of_any_length_stay_in_one_object() {
    for first in [3, 16, 100, 300] {
        let mut mem = Memory::new();
        let (begin, border) = (PACKET_BASE + 5, PACKET_BASE + 5 + first);
        for (base, access) in [(begin, Access::Read), (border, Access::ReadWrite)] {
            mem.map(Object { base, len: first as u32, access, kind: ObjectKind::Packet });
        }
        let end = border + first;
        for len in (1..=40).chain([126, 127, 128, 129, 250]) {
            for addr in (begin - 2..begin + 2).chain(border - 45..border + 2).chain(end - 45..end + 2) {
                let within = |base: u64| addr >= base && addr + len <= base + first;
                let (read, write) = (within(begin) || within(border), within(border));
                assert_eq!(mem.guest(addr, len).is_ok(), read, "{len} at {addr:#x}");
                assert_eq!(mem.guest_mut(addr, len).is_ok(), write, "{len} at {addr:#x}");
                assert!(read || mem.glance(addr, len as usize).is_none(), "{len} at {addr:#x}");
            }
        }
    }
}

#[test]
fn frames_come_and_go_zeroed() {
    let mut mem = Memory::new();
    let first = mem.push_frame().unwrap();
    let second = mem.push_frame().unwrap();
    assert_eq!(second - first, STACK_STRIDE);
    assert!(glance(&mut mem, second - 512, 8) == (true, true) && mem.store(second - 8, 8, 7).is_ok());
    assert!(glance(&mut mem, second, 1) == (false, false) && mem.load(second - 513, 1).is_err());
    mem.pop_frame();
    let refused = mem.load(second - 8, 8).unwrap_err();
    assert_eq!(refused.nearest, None, "{refused:?}");
    assert_eq!(mem.load(first, 1).unwrap_err().nearest.map(|o| o.kind), Some(ObjectKind::Stack));
    assert!(mem.load(first - 512, 8).is_ok());
    assert_eq!(mem.push_frame(), Some(second));
    assert_eq!(mem.load(second - 8, 8), Ok(0));
    while mem.frames() < FIXED_FRAMES {
        mem.push_frame().unwrap();
    }
    let beyond = mem.push_frame().unwrap();
    assert!(beyond > HEAP_BASE && mem.load(beyond - 512, 8) == Ok(0) && mem.store(beyond - 8, 8, 1).is_ok());
    assert!(mem.load(beyond, 1).is_err() && mem.load(beyond - 513, 1).is_err());
    mem.pop_frame();
    assert!(mem.load(beyond - 8, 8).is_err());
    assert_eq!(mem.push_frame(), Some(beyond));
    assert_eq!(mem.load(beyond - 8, 8), Ok(0));
}

#[test]
fn read_only_objects_refuse_writes() {
    let mut mem = Memory::new();
    let base = mem.alloc(ObjectKind::MapValue(1), Access::Read, 16).unwrap();
    assert!(mem.load(base, 8).is_ok());
    assert!(mem.store(base, 8, 1).unwrap_err().write);
    assert_eq!(glance(&mut mem, base, 8), (true, false));
}

#[test]
fn freed_memory_faults_and_comes_back_zeroed() {
    let mut mem = Memory::new();
    let base = mem.alloc(ObjectKind::MapValue(1), Access::ReadWrite, 12).unwrap();
    mem.store(base, 8, 7).unwrap();
    mem.free(base);
    assert!(mem.load(base, 1).is_err());
    let again = mem.alloc(ObjectKind::MapValue(2), Access::ReadWrite, 12).unwrap();
    assert_eq!(again, base);
    assert_eq!(mem.load(again, 8), Ok(0));
}
