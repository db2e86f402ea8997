//! Running the programs of a hook, and what their verdicts mean.

use super::{At, Halt, Hook, World};
use crate::bpf::machine::ProgId;
use crate::net::redirect::{Parked, Redirect};
use crate::net::skb::SkBuff;
use crate::net::{Kernel, Packet, run_program};
use crate::uapi::action::tc;

/// What a hook decides.
pub(super) enum Verdict {
    /// The frame goes on.
    Pass,
    /// It goes elsewhere.
    Redirect(Redirect),
    /// It is dropped.
    Drop,
    /// It is taken, which is no drop.
    Consumed,
}

impl World {
    /// `sch_handle_ingress` and `sch_handle_egress` without what the verdict brings about: tcx, then clsact.
    /// `net/core/dev.c: tcx_run, tc_run`, v6.12.
    pub(super) fn tc(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        ingress: bool,
    ) -> Result<(SkBuff, Verdict), Halt> {
        let (tcx, clsact) =
            if ingress { (Hook::TcxIngress, Hook::TcIngress) } else { (Hook::TcxEgress, Hook::TcEgress) };
        let port = self.spaces[at.space].port(at.ifindex);
        let (tcx, clsact) = (port.at(tcx).to_vec(), port.at(clsact).to_vec());
        if tcx.is_empty() && clsact.is_empty() {
            return Ok((skb, Verdict::Pass));
        }
        if ingress {
            skb.wire_len = skb.len();
            skb.at_ingress = true;
        }
        self.spaces[at.space].env.redirect = Redirect::Nowhere;
        let mut code = tc::UNSPEC;
        for prog in tcx {
            (skb, code) = self.classify(kernel, skb, at, prog)?;
            if code != tc::UNSPEC {
                break;
            }
        }
        // `tcx_action_code`: what tcx does not know goes on as if nobody had decided.
        code = match code {
            tc::OK => {
                skb.tc_index = skb.tc_classid;
                code
            }
            tc::SHOT | tc::REDIRECT => code,
            _ => {
                (skb, code) = self.clsact(kernel, skb, at, &clsact)?;
                code
            }
        };
        let verdict = match code {
            tc::REDIRECT => Verdict::Redirect(std::mem::take(&mut self.spaces[at.space].env.redirect)),
            tc::SHOT => Verdict::Drop,
            tc::STOLEN | tc::QUEUED | tc::TRAP => Verdict::Consumed,
            _ => Verdict::Pass,
        };
        Ok((skb, verdict))
    }

    /// Direct-action filters of `cls_bpf`, one after the other. `net/sched/cls_bpf.c: cls_bpf_classify`, v6.12.
    fn clsact(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        progs: &[ProgId],
    ) -> Result<(SkBuff, i32), Halt> {
        for &prog in progs {
            skb.tc_classid = 0;
            let code;
            (skb, code) = self.classify(kernel, skb, at, prog)?;
            if skb.tstamp == 0 {
                skb.tstamp_type = 0;
            }
            // `cls_bpf_exec_opcode`: every other code is none.
            match code {
                tc::OK => {
                    skb.tc_index = skb.tc_classid;
                    return Ok((skb, code));
                }
                tc::SHOT | tc::STOLEN | tc::TRAP | tc::REDIRECT => return Ok((skb, code)),
                _ => {}
            }
        }
        Ok((skb, tc::UNSPEC))
    }

    /// One program, which sees the frame from the MAC header on.
    fn classify(
        &mut self,
        kernel: &mut Kernel,
        mut skb: SkBuff,
        at: At,
        prog: ProgId,
    ) -> Result<(SkBuff, i32), Halt> {
        self.moves(at)?;
        let ingress = skb.at_ingress;
        if ingress {
            skb.push(&mut kernel.machine.mem, skb.mac_len.into());
        }
        skb.has_data_pointers = true;
        let env = &mut self.spaces[at.space].env;
        let packet = Packet::Skb(Box::new(skb));
        let (retval, packet) = run_program(&mut kernel.machine, env, kernel.fuel, (prog, 1), packet)?;
        let Packet::Skb(skb) = packet else { unreachable!("a packet stays what it is") };
        let mut skb = self.send_clones(kernel, *skb, at)?;
        if ingress {
            skb.pull(skb.mac_len.into());
        }
        Ok((skb, retval as i32))
    }

    /// What `bpf_clone_redirect` sent while a program ran. The kernel does it inside the helper; here it is done when the
    /// program has ended, which nobody can tell unless another program runs on the copy right there.
    fn send_clones(&mut self, kernel: &mut Kernel, skb: SkBuff, at: At) -> Result<SkBuff, Halt> {
        let clones = self.spaces[at.space].env.clones.as_mut().map(std::mem::take).unwrap_or_default();
        if clones.is_empty() {
            return Ok(skb);
        }
        let kept = std::mem::take(&mut self.spaces[at.space].env.redirect);
        let original = Parked::park(skb, &kernel.machine.mem);
        for clone in clones {
            let to = At { space: at.space, ifindex: clone.ifindex };
            if !clone.ingress && self.spaces[to.space].has_port(to.ifindex) {
                let port = self.spaces[to.space].port(to.ifindex);
                if !port.at(Hook::TcxEgress).is_empty() || !port.at(Hook::TcEgress).is_empty() {
                    let what = "bpf_clone_redirect to a device with egress programs";
                    return Err(self.not_modelled(to, what));
                }
            }
            let copy = clone.packet.unpark(&mut kernel.machine.mem);
            self.redirect_and_go(kernel, copy, at, clone.ifindex, clone.ingress)?;
        }
        self.spaces[at.space].env.redirect = kept;
        Ok(original.unpark(&mut kernel.machine.mem))
    }
}
