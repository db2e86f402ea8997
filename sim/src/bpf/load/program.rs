//! One program: every reference becomes a number.

use super::{HelperCheck, HelperUse, LoadError};
use crate::bpf::core_relo::{self, BAD_RELO, Relocator};
use crate::bpf::link::Linked;
use crate::bpf::machine::{Machine, ProgId};
use crate::bpf::map::{MapId, TailCallee};
use crate::bpf::object::functions::{CALL, immediate, opcode, source};
use crate::bpf::object::{ExternKind, Object, ProgramSpec, Relocation, Target};
use crate::bpf::program::{Image, Program};
use crate::uapi::{MapType, ProgType};

/// The immediate of a call to a weak kernel function that is not there (`POISON_CALL_KFUNC_BASE`, libbpf.c), plus the
/// extern's number. Programs guard such calls; one that is reached is a fault.
const POISON_CALL_KFUNC_BASE: i32 = 2_002_000_000;

/// What a program is resolved against.
pub(super) struct Linking<'a, 'b> {
    pub machine: &'a mut Machine,
    pub object: &'a Object,
    pub helpers: &'a HelperCheck<'a>,
    /// The object's maps, in its order.
    pub maps: &'a [MapId],
    pub program: &'a ProgramSpec,
    pub relocator: Option<&'a mut Relocator<'b>>,
}

impl Linking<'_, '_> {
    /// Fills in the references; gives the image, and the weak kernel symbols it found absent.
    pub fn resolve(mut self, mut linked: Linked) -> Result<(Image, Vec<String>), LoadError> {
        if self.program.prog_type == ProgType::Unspec {
            return Err(LoadError::Section {
                program: self.program.name.clone(),
                section: self.program.section.clone(),
            });
        }
        self.relocate_core(&mut linked)?;
        let mut absent = Vec::new();
        let mut maps = Vec::new();
        for Relocation { slot, target } in std::mem::take(&mut linked.references) {
            self.reference(&mut linked, slot, target, &mut maps, &mut absent)
                .map_err(|what| self.error(&linked, slot, what))?;
        }
        self.check_helpers(&linked)?;
        maps.sort_unstable();
        maps.dedup();
        let image = Image {
            name: self.program.name.clone(),
            prog_type: self.program.prog_type,
            attach_type: self.program.attach_type,
            xdp_has_frags: self.program.xdp_frags,
            license_gpl: self.object.license_is_gpl_compatible(),
            slots: linked.slots,
            functions: linked.functions,
            lines: linked.lines,
            maps,
        };
        Ok((image, absent))
    }

    fn error(&self, linked: &Linked, slot: u32, what: String) -> LoadError {
        LoadError::Instruction {
            program: self.program.name.clone(),
            slot,
            line: linked.line_of(slot).cloned(),
            what,
        }
    }

    fn reference(
        &mut self,
        linked: &mut Linked,
        slot: u32,
        target: Target,
        maps: &mut Vec<MapId>,
        absent: &mut Vec<String>,
    ) -> Result<(), String> {
        match target {
            Target::Call(_) | Target::Address(_) => {}
            Target::Map(index) => {
                maps.push(self.maps[index]);
                linked.set_address(slot, self.maps[index].handle());
            }
            Target::Data { map, offset } => {
                maps.push(self.maps[map]);
                let address = self.value_address(map, offset)?;
                linked.set_address(slot, address);
            }
            Target::ExternVar(index) => {
                let address = self.variable(index, maps, absent)?;
                linked.set_address(slot, address);
            }
            Target::ExternCall(index) => {
                let declared = &self.object.externs[index];
                if !declared.weak {
                    return Err(format!(
                        "kernel function \"{}\" is not modelled by the simulator",
                        declared.name
                    ));
                }
                absent.push(declared.name.clone());
                let slot_value = &mut linked.slots[slot as usize];
                // Not a call between functions any more: no source register.
                *slot_value &= !0xf000;
                linked.set_immediate(slot, POISON_CALL_KFUNC_BASE + index as i32);
            }
        }
        Ok(())
    }

    fn value_address(&mut self, map: usize, offset: u32) -> Result<u64, String> {
        let (maps, mut ctx) = self.machine.maps();
        maps.value_addr(&mut ctx, self.maps[map], offset).map_err(|errno| {
            let spec = &self.object.maps[map].spec;
            format!("byte {offset} of map \"{}\", whose value has {}: {errno}", spec.name, spec.value_size)
        })
    }

    fn variable(
        &mut self,
        index: usize,
        maps: &mut Vec<MapId>,
        absent: &mut Vec<String>,
    ) -> Result<u64, String> {
        let declared = &self.object.externs[index];
        match declared.kind {
            ExternKind::Kconfig { offset, .. } => {
                let map = self.object.maps.iter().position(|map| map.spec.name == ".kconfig");
                let map = map.ok_or("the object has no .kconfig map")?;
                maps.push(self.maps[map]);
                self.value_address(map, offset)
            }
            ExternKind::Variable { .. } | ExternKind::Kfunc if declared.weak => {
                absent.push(declared.name.clone());
                Ok(0)
            }
            ExternKind::Variable { .. } => {
                Err(format!("kernel variable \"{}\" is not modelled by the simulator", declared.name))
            }
            ExternKind::Kfunc => {
                Err(format!("kernel function \"{}\" is not modelled by the simulator", declared.name))
            }
        }
    }

    fn relocate_core(&mut self, linked: &mut Linked) -> Result<(), LoadError> {
        let Some(local) = &self.object.btf else { return Ok(()) };
        for relocation in std::mem::take(&mut linked.core) {
            let asked = core_relo::describe(local, &relocation);
            let relocated = self.relocator.as_mut().map(|to| to.relocate(&mut linked.slots, &relocation));
            let relocated = relocated.unwrap_or_else(|| Err("the object has no types".into()));
            relocated.map_err(|why| {
                self.error(linked, relocation.slot, format!("asks for {asked} in the kernel (CO-RE): {why}"))
            })?;
        }
        Ok(())
    }

    fn check_helpers(&self, linked: &Linked) -> Result<(), LoadError> {
        for (slot, insn) in linked.instructions() {
            let helper = immediate(insn);
            if opcode(insn) != CALL
                || source(insn) != 0
                || helper >= POISON_CALL_KFUNC_BASE
                || helper as u32 == BAD_RELO
            {
                continue;
            }
            let used = HelperUse {
                program: &self.program.name,
                prog_type: self.program.prog_type,
                helper: helper as u32,
                slot,
                line: linked.line_of(slot),
            };
            (self.helpers)(&used).map_err(|what| self.error(linked, slot, what))?;
        }
        Ok(())
    }
}

/// Decodes a program and adds it to the machine. Prog arrays it refers to take only programs like it from now on
/// (`kernel/bpf/core.c: bpf_check_tail_call`, v6.12).
pub(super) fn add(machine: &mut Machine, spec: &ProgramSpec, image: Image) -> Result<ProgId, LoadError> {
    let (maps, lines) = (image.maps.clone(), image.lines.clone());
    let program = Program::new(image).map_err(|error| LoadError::Instruction {
        program: spec.name.clone(),
        slot: error.slot,
        line: lines.into_iter().rfind(|(start, _)| *start <= error.slot).map(|(_, line)| line),
        what: error.what,
    })?;
    let prog = machine.add_program(program);
    let callee = TailCallee { prog, prog_type: spec.prog_type, xdp_has_frags: spec.xdp_frags };
    for map in maps {
        if machine.maps.spec(map).map_type == MapType::ProgArray {
            machine.maps.map(map).claim(callee).map_err(|errno| LoadError::ProgArray {
                program: spec.name.clone(),
                map: machine.maps.spec(map).name.clone(),
                errno,
            })?;
        }
    }
    Ok(prog)
}
