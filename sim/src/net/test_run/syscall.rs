//! Syscall programs: `net/bpf/test_run.c: bpf_prog_test_run_syscall`, v6.12. The context is written back in place.

use super::{Room, Stop, TestRun, TestRunOut, fault_at};
use crate::bpf::machine::ProgId;
use crate::net::ctx_reach::max_ctx_offset;
use crate::net::kernel::Kernel;
use crate::net::run::Packet;
use crate::net::syscall::Syscall;
use crate::uapi::Errno;

impl Kernel {
    pub(super) fn test_run_syscall(&mut self, prog: ProgId, test: &TestRun<'_>) -> Result<TestRunOut, Stop> {
        let wants = |room: Room| matches!(room, Room::Bytes(1..));
        if !test.data_in.is_empty() || wants(test.data_out) || wants(test.ctx_out) {
            return Err(Errno::EINVAL.into());
        }
        if test.repeat != 0 || test.flags != 0 || test.batch_size != 0 {
            return Err(Errno::EINVAL.into());
        }
        let program = &self.machine.programs[prog.0 as usize];
        let needed = max_ctx_offset(program)
            .map_err(|(slot, kind)| Stop::Fault(Box::new(fault_at(program, slot, kind))))?;
        if test.ctx_in.len() > u16::MAX.into() || (test.ctx_in.len() as u32) < needed {
            return Err(Errno::EINVAL.into());
        }
        let ctx = Syscall::new(&mut self.machine.mem, test.ctx_in);
        let done = self.run_repeatedly(prog, Packet::Syscall, 1);
        let ctx = ctx.take(&mut self.machine.mem);
        let (retval, _) = done?;
        Ok(TestRunOut { retval, ctx_size: ctx.len() as u32, ctx, ..TestRunOut::default() })
    }
}
