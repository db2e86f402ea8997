//! What sk_msg programs do to their message.

use super::{Arg, Call, Failure, Helper, Ret};
use crate::bpf::{FaultKind, Memory};
use crate::net::linear::Linear;
use crate::net::sk_msg::{LONGEST, Message};
use crate::uapi::ProgType::SkMsg;
use crate::uapi::helper::id;
use crate::uapi::{Errno, ProgTypes};

const TYPES: ProgTypes = ProgTypes::of(&[SkMsg]);
const RANGE: &[Arg] = &[Arg::Ctx, Arg::Any, Arg::Any, Arg::Any];

/// The family's rows.
#[rustfmt::skip]
pub const ROWS: &[Helper] = &[
    Helper::new(id::msg_apply_bytes, TYPES, &[Arg::Ctx, Arg::Any], apply, "net/core/filter.c: bpf_msg_apply_bytes"),
    Helper::new(id::msg_cork_bytes, TYPES, &[Arg::Ctx, Arg::Any], cork, "net/core/filter.c: bpf_msg_cork_bytes"),
    Helper::new(id::msg_pull_data, TYPES, RANGE, pull, "net/core/filter.c: bpf_msg_pull_data").moving(),
    Helper::new(id::msg_push_data, TYPES, RANGE, push, "net/core/filter.c: bpf_msg_push_data").moving(),
    Helper::new(id::msg_pop_data, TYPES, RANGE, pop, "net/core/filter.c: bpf_msg_pop_data").moving(),
];

fn apply(call: &mut Call<'_, '_>) -> Ret {
    call.given().message.apply_bytes = call.args[1] as u32;
    Ok(0)
}

fn cork(call: &mut Call<'_, '_>) -> Ret {
    call.given().message.cork_bytes = call.args[1] as u32;
    Ok(0)
}

/// Lets `act` at the message, with two numbers of the call; the context says its size afterwards.
fn change(
    call: &mut Call<'_, '_>,
    act: impl Fn(&mut Message, &mut Memory, &mut Linear, u32, u32) -> Result<(), Errno>,
) -> Ret {
    let [_, first, second, flags, _] = call.args;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let crate::net::run::Packet::Given(given) = &mut call.run.packet else {
        unreachable!("the row is for messages");
    };
    let mem = &mut call.machine.mem;
    let linear = given.linear.as_mut().expect("a message has data");
    given.message.take_back(mem, linear);
    act(&mut given.message, mem, linear, first as u32, second as u32)?;
    let size = given.message.size();
    given.set_len(size);
    Ok(0)
}

fn pull(call: &mut Call<'_, '_>) -> Ret {
    change(call, Message::pull)
}

fn push(call: &mut Call<'_, '_>) -> Ret {
    let len = call.args[2] as u32;
    if call.args[3] == 0 && len == 0 {
        return Ok(0);
    }
    if call.args[3] == 0 && u64::from(len) + u64::from(call.given().message.size()) > LONGEST as u64 {
        let what = format!("bpf_msg_push_data: messages of more than {LONGEST} bytes are not modelled");
        return Err(Failure::Fault(FaultKind::Instruction(what)));
    }
    change(call, Message::push)
}

fn pop(call: &mut Call<'_, '_>) -> Ret {
    if call.args[3] == 0 && call.args[2] as u32 == 0 {
        return Ok(0);
    }
    change(call, Message::pop)
}
