//! Maps: lookup, update, delete.

use super::{Arg, BASE, Call, Failure, Helper, Ret};
use crate::uapi::Errno;
use crate::uapi::helper::id;

/// The family's rows.
pub const ROWS: &[Helper] = &[
    Helper {
        id: id::map_lookup_elem,
        types: BASE,
        args: &[Arg::Map(&[]), Arg::Key],
        moves_packet: false,
        cite: "kernel/bpf/helpers.c: bpf_map_lookup_elem",
        call: lookup,
    },
    Helper {
        id: id::map_update_elem,
        types: BASE,
        args: &[Arg::Map(&[]), Arg::Key, Arg::Value, Arg::Any],
        moves_packet: false,
        cite: "kernel/bpf/helpers.c: bpf_map_update_elem",
        call: update,
    },
    Helper {
        id: id::map_delete_elem,
        types: BASE,
        args: &[Arg::Map(&[]), Arg::Key],
        moves_packet: false,
        cite: "kernel/bpf/helpers.c: bpf_map_delete_elem",
        call: delete,
    },
];

fn lookup(call: &mut Call<'_, '_>) -> Ret {
    let key = call.args[1];
    let (map, mut ctx) = call.map(1);
    Ok(map.lookup(&mut ctx, key)?)
}

fn update(call: &mut Call<'_, '_>) -> Ret {
    let [_, _, value, flags, _] = call.args;
    let key = call.key()?;
    let value_size = call.machine.maps.spec(call.map_id(1)).value_size;
    let value = call.mem(value, value_size.into())?.to_vec();
    let (map, mut ctx) = call.map(1);
    let done = map.update(&mut ctx, &key, &value, flags);
    call.map_result(done)
}

fn delete(call: &mut Call<'_, '_>) -> Ret {
    let key = call.key()?;
    let (map, mut ctx) = call.map(1);
    let done = map.delete(&mut ctx, &key);
    call.map_result(done)
}

impl Call<'_, '_> {
    /// The key in argument 2 of the map in argument 1.
    fn key(&self) -> Result<Vec<u8>, Failure> {
        let key_size = self.machine.maps.spec(self.map_id(1)).key_size;
        Ok(self.mem(self.args[1], key_size.into())?.to_vec())
    }

    /// `r0` of a map operation: 0 or a negative errno, as wide as the described kernel makes it.
    pub(super) fn map_result(&self, done: Result<(), Errno>) -> Ret {
        let r0 = done.map_or_else(Errno::as_r0, |()| 0);
        Ok(if self.machine.release.map_helpers_return_long() { r0 } else { u64::from(r0 as u32) })
    }
}
