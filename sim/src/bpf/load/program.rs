//! One program: every reference becomes a number.

use std::collections::BTreeMap;

use super::map_arguments::MapArguments;
use super::maps::Created;
use super::{HelperUse, Kfunc, KfuncUse, LoadError, Offered};
use crate::bpf::btf::{Btf, Kind};
use crate::bpf::core_relo::{self, BAD_RELO, Relocator};
use crate::bpf::link::Linked;
use crate::bpf::machine::{Machine, ProgId};
use crate::bpf::map::{MapId, TailCallee};
use crate::bpf::object::functions::{CALL, immediate, opcode, source};
use crate::bpf::object::{ExternKind, Object, ProgramSpec, Relocation, Target};
use crate::bpf::program::{Image, Program};
use crate::uapi::insn::BPF_PSEUDO_KFUNC_CALL;
use crate::uapi::{MapType, ProgType};

/// The immediate of a call to a weak kernel function that is not there (`POISON_CALL_KFUNC_BASE`, libbpf.c), plus the
/// extern's number. Programs guard such calls; one that is reached is a fault.
const POISON_CALL_KFUNC_BASE: i32 = 2_002_000_000;

/// Where kernel functions seem to lie: an address that is not 0 and holds no byte of the guest.
const fn kfunc_addr(number: u32) -> u64 {
    0xffff_ffff_8100_0000 + number as u64 * 16
}

/// What a program is resolved against.
pub(super) struct Linking<'a, 'b> {
    pub machine: &'a mut Machine,
    pub object: &'a Object,
    pub offered: &'a Offered<'a>,
    /// All types of the kernel spoken as, if they are known.
    pub kernel_types: Option<&'a Btf>,
    /// The object's maps, in its order.
    pub maps: &'a [Created],
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
        let prog_type = self.program.prog_type;
        let missing =
            self.machine.release.lacks(prog_type).then_some("the kernel spoken as has no such programs");
        if let Some(why) = prog_type.not_simulated().or(missing) {
            return Err(LoadError::ProgType { program: self.program.name.clone(), prog_type, why });
        }
        self.relocate_core(&mut linked)?;
        let mut absent = Vec::new();
        let mut maps = Vec::new();
        let mut loads = BTreeMap::new();
        for Relocation { slot, target } in std::mem::take(&mut linked.references) {
            if let Target::Map(index) = target {
                loads.extend(self.map(index).ok().map(|id| (slot, id)));
            }
            self.reference(&mut linked, slot, target, &mut maps, &mut absent)
                .map_err(|what| self.error(&linked, slot, what))?;
        }
        self.check_helpers(&linked, loads)?;
        maps.sort_unstable();
        maps.dedup();
        self.check_cgroup_storage(&maps).map_err(|what| self.error(&linked, 0, what))?;
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
                let id = self.map(index)?;
                maps.push(id);
                linked.set_address(slot, id.handle());
            }
            Target::Data { map, offset } => {
                maps.push(self.map(map)?);
                let address = self.value_address(map, offset)?;
                linked.set_address(slot, address);
            }
            Target::ExternVar(index) => {
                let address = self.variable(index, maps, absent)?;
                linked.set_address(slot, address);
            }
            Target::ExternCall(index) => {
                let Some(number) = self.kfunc(index, true)? else {
                    absent.push(self.object.externs[index].name.clone());
                    // Not a call between functions any more: no source register.
                    linked.slots[slot as usize] &= !0xf000;
                    linked.set_immediate(slot, POISON_CALL_KFUNC_BASE + index as i32);
                    return Ok(());
                };
                let insn = &mut linked.slots[slot as usize];
                *insn = *insn & !0xf000 | u64::from(BPF_PSEUDO_KFUNC_CALL) << 12;
                linked.set_immediate(slot, number as i32);
            }
        }
        Ok(())
    }

    fn map(&self, index: usize) -> Result<MapId, String> {
        self.maps[index].clone().map_err(|error| error.to_string())
    }

    fn value_address(&mut self, map: usize, offset: u32) -> Result<u64, String> {
        let id = self.map(map)?;
        let (maps, mut ctx) = self.machine.maps();
        maps.value_addr(&mut ctx, id, offset).map_err(|errno| {
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
                maps.push(self.map(map)?);
                self.value_address(map, offset)
            }
            ExternKind::Variable { .. } => {
                let known = |kind: &Kind| matches!(kind, Kind::Var { .. });
                if declared.weak && !self.kernel_has(&declared.name, known) {
                    absent.push(declared.name.clone());
                    return Ok(0);
                }
                Err(format!("kernel variable \"{}\" is not modelled by the simulator", declared.name))
            }
            ExternKind::Kfunc => {
                let number = self.kfunc(index, false)?;
                if number.is_none() {
                    absent.push(declared.name.clone());
                }
                Ok(number.map_or(0, kfunc_addr))
            }
        }
    }

    /// The number of the kernel function that extern `index` declares; `None` for a weak one that the kernel has not
    /// (`bpf_object__resolve_ksym_func_btf_id`, libbpf.c).
    fn kfunc(&self, index: usize, called: bool) -> Result<Option<u32>, String> {
        let declared = &self.object.externs[index];
        let name = core_relo::essential(&declared.name);
        let program = &self.program.name;
        let used = KfuncUse { program, prog_type: self.program.prog_type, kfunc: name, called };
        match (self.offered.kfunc)(&used) {
            Kfunc::Number(number) => Ok(Some(number)),
            Kfunc::Refused(why) => Err(format!("kernel function \"{name}\" {why}")),
            Kfunc::Absent if self.kernel_has(name, |kind| matches!(kind, Kind::Func { .. })) => {
                Err(format!("kernel function \"{name}\" is not modelled by the simulator"))
            }
            Kfunc::Absent if declared.weak => Ok(None),
            Kfunc::Absent => Err(format!(
                "kernel function \"{name}\" is unknown to the simulator; declare it __weak if the program can do \
                 without"
            )),
        }
    }

    /// Whether the kernel's types are known and name such a thing.
    fn kernel_has(&self, name: &str, wanted: impl Fn(&Kind) -> bool) -> bool {
        self.kernel_types.is_some_and(|kernel| kernel.find(name, wanted).is_some())
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

    /// `kernel/bpf/local_storage.c: bpf_cgroup_storage_assign`, v6.12.
    fn check_cgroup_storage(&self, maps: &[MapId]) -> Result<(), String> {
        for map_type in [MapType::CgroupStorage, MapType::PercpuCgroupStorage] {
            if maps.iter().filter(|&&id| self.machine.maps.spec(id).map_type == map_type).count() > 1 {
                return Err(format!(
                    "only one cgroup storage of each type is allowed: two of type {map_type}"
                ));
            }
        }
        Ok(())
    }

    fn check_helpers(&self, linked: &Linked, loads: BTreeMap<u32, MapId>) -> Result<(), LoadError> {
        let arguments = MapArguments::new(linked, loads);
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
                attach_type: self.program.attach_type,
                helper: helper as u32,
                slot,
                line: linked.line_of(slot),
                maps: arguments.at(linked, slot).map(|map| map.map(|id| self.machine.maps.spec(id).map_type)),
            };
            (self.offered.helper)(&used).map_err(|what| self.error(linked, slot, what))?;
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
    let callee = TailCallee::of(machine, prog);
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
