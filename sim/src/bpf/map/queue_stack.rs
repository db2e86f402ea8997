//! `BPF_MAP_TYPE_QUEUE` and `BPF_MAP_TYPE_STACK`: `kernel/bpf/queue_stack_maps.c`, v6.12.

use std::collections::VecDeque;

use super::{Map, MapCtx, MapSpec};
use crate::uapi::map::{BPF_EXIST, BPF_NOEXIST};
use crate::uapi::{Errno, MapType};

/// A queue or a stack. Programs get copies of values, never their addresses.
pub(super) struct QueueStack {
    stack: bool,
    value_size: usize,
    max_entries: usize,
    /// Oldest first.
    values: VecDeque<Vec<u8>>,
}

impl QueueStack {
    pub fn create(spec: &MapSpec) -> Self {
        Self {
            stack: spec.map_type == MapType::Stack,
            value_size: spec.value_size as usize,
            max_entries: spec.max_entries as usize,
            values: VecDeque::new(),
        }
    }

    /// An empty map hands out zeroes along with its errno.
    fn or_zeroes(&self, value: Option<Vec<u8>>) -> (Vec<u8>, Result<(), Errno>) {
        match value {
            Some(value) => (value, Ok(())),
            None => (vec![0; self.value_size], Err(Errno::ENOENT)),
        }
    }
}

impl Map for QueueStack {
    fn update(&mut self, _: &mut MapCtx<'_>, _: &[u8], _: &[u8], _: u64) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    fn delete(&mut self, _: &mut MapCtx<'_>, _: &[u8]) -> Result<(), Errno> {
        Err(Errno::EINVAL)
    }

    /// `queue_stack_map_push_elem`: `BPF_EXIST` makes room by dropping the oldest value.
    fn push(&mut self, _: &mut MapCtx<'_>, value: &[u8], flags: u64) -> Result<(), Errno> {
        if flags & BPF_NOEXIST != 0 || flags > BPF_EXIST {
            return Err(Errno::EINVAL);
        }
        if self.values.len() == self.max_entries {
            if flags & BPF_EXIST == 0 {
                return Err(Errno::E2BIG);
            }
            self.values.pop_front();
        }
        self.values.push_back(value.to_vec());
        Ok(())
    }

    fn peek(&mut self, _: &mut MapCtx<'_>) -> (Vec<u8>, Result<(), Errno>) {
        let value = if self.stack { self.values.back() } else { self.values.front() };
        self.or_zeroes(value.cloned())
    }

    fn pop(&mut self, _: &mut MapCtx<'_>) -> (Vec<u8>, Result<(), Errno>) {
        let value = if self.stack { self.values.pop_back() } else { self.values.pop_front() };
        self.or_zeroes(value)
    }

    fn sys_lookup(&mut self, ctx: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        let (value, done) = self.peek(ctx);
        done.map(|()| value)
    }

    fn sys_update(&mut self, ctx: &mut MapCtx<'_>, _: &[u8], value: &[u8], flags: u64) -> Result<(), Errno> {
        self.push(ctx, value, flags)
    }

    fn sys_lookup_and_delete(&mut self, ctx: &mut MapCtx<'_>, _: &[u8]) -> Result<Vec<u8>, Errno> {
        let (value, done) = self.pop(ctx);
        done.map(|()| value)
    }

    fn next_key(&self, _: Option<&[u8]>) -> Result<Vec<u8>, Errno> {
        Err(Errno::EINVAL)
    }
}
