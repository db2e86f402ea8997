//! The objects of a scenario: files to shapes, names to programs, maps and global variables.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bpftwin_sim::bpf::btf::Kind;
use bpftwin_sim::bpf::object::{MapContents, Object};
use bpftwin_sim::uapi::ProgType;

use super::library::Library;
use crate::bytes::Bytes;
use crate::case::{self, Global, ObjectImage};
use crate::described::{self, Described};
use crate::layout::{Encoder, Layout, Sense};
use crate::scenario::mistake::{Mistake, What};
use crate::scenario::model::Header;
use crate::scenario::node::Node;
use crate::scenario::spanned::{Span, Spanned};
use crate::shape::{MapShape, ObjectShape, Shape, Typed};

/// An object file and what is in it.
#[derive(Debug)]
pub struct Opened {
    /// The bytes.
    pub elf: Vec<u8>,
    /// What they say.
    pub object: Object,
}

/// Objects already opened, so that many scenarios share the work. Keyed by the bytes' origin and digest.
static OPENED: Mutex<BTreeMap<String, Arc<Opened>>> = Mutex::new(BTreeMap::new());

/// Opens the object file `path`.
pub fn open(library: &Library, path: &str) -> Result<Arc<Opened>, What> {
    let file = |why: String| What::File { path: path.to_owned(), why };
    let elf = library.read(path).map_err(file)?;
    let name = file_name(path);
    let key = format!("{name}/{}", crate::golden::sha256(&elf));
    if let Some(opened) = OPENED.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
        return Ok(opened.clone());
    }
    let object = Object::parse(&name, &elf)
        .map_err(|error| What::Object { path: path.to_owned(), why: error.kind.to_string() })?;
    let opened = Arc::new(Opened { elf: elf.into_owned(), object });
    OPENED.lock().unwrap_or_else(PoisonError::into_inner).insert(key, opened.clone());
    Ok(opened)
}

/// The name libbpf gives an object: the file's, up to the first dot.
pub fn file_name(path: &str) -> String {
    let base = path.rsplit(['/', ':']).next().unwrap_or(path);
    base.split('.').next().unwrap_or(base).to_owned()
}

/// The objects of one scenario.
pub struct Objects {
    /// By the scenario's names.
    pub opened: BTreeMap<String, Arc<Opened>>,
    /// What they mean.
    pub shape: Shape,
    /// By the scenario's names: programs given a type.
    typed: BTreeMap<String, Vec<case::Typed>>,
}

impl Objects {
    /// Opens every object of the header; what does not open is a mistake and missing.
    pub fn open(
        header: &Header,
        library: &Library,
        described: &Described,
        mistakes: &mut Vec<Mistake>,
    ) -> Self {
        let (opened, typed) = (BTreeMap::new(), BTreeMap::new());
        let mut objects = Self { opened, shape: Shape::default(), typed };
        for (name, path) in &header.objects {
            match open(library, path) {
                Ok(mut opened) => {
                    let types = described.types.iter();
                    if types.clone().any(|(program, _)| opened.object.program(program).is_some()) {
                        let mut object = opened.object.clone();
                        objects.typed.insert(name.value.clone(), described.set_types(&mut object));
                        opened = Arc::new(Opened { elf: opened.elf.clone(), object });
                    }
                    objects.shape.objects.insert(name.value.clone(), shape(&opened.object));
                    objects.opened.insert(name.value.clone(), opened);
                }
                Err(what) => mistakes.push(
                    Mistake::new(what, &path.span)
                        .help("paths start at the scenario's folder; datapath:NAME is a bundled object"),
                ),
            }
        }
        if objects.opened.len() == header.objects.len() && !header.objects.is_empty() {
            for (program, _) in &described.types {
                if objects.opened.values().all(|opened| opened.object.program(program).is_none()) {
                    let what = format!("no object has a program {program} to give a type");
                    mistakes.push(Mistake::new(What::Value(what), &header.title.span));
                }
            }
            for (program, prog_type) in &header.types {
                objects.set_type(program, prog_type, mistakes);
            }
            objects.set_sizes(&header.max_entries, mistakes);
            for (name, record) in &header.records {
                objects.set_record(name, record, mistakes);
            }
        }
        objects
    }

    /// Gives maps the sizes that the scenario says.
    fn set_sizes(&mut self, sizes: &BTreeMap<Spanned<String>, Spanned<u32>>, mistakes: &mut Vec<Mistake>) {
        for (map, size) in sizes {
            let (object, name) = match self.map(map) {
                Ok((object, name, _)) => (object, name),
                Err(mistake) => {
                    mistakes.push(mistake);
                    continue;
                }
            };
            self.change(&object, |object| {
                let map = object.maps.iter_mut().find(|map| map.spec.name == name);
                map.expect("looked up above").spec.max_entries = size.value;
            });
            let maps = &mut self.shape.objects.get_mut(&object).expect("opened").maps;
            maps.get_mut(&name).expect("looked up above").max_entries = size.value;
        }
    }

    /// Changes an object of this scenario alone: other scenarios may have opened the same file.
    fn change(&mut self, object: &str, change: impl FnOnce(&mut Object)) {
        let opened = self.opened.get_mut(object).expect("opened");
        let mut own = opened.object.clone();
        change(&mut own);
        *opened = Arc::new(Opened { elf: opened.elf.clone(), object: own });
    }

    /// Splits `object:name`; with one object its name may be left out. Checks the object only.
    fn split<'a>(&self, what: &'static str, text: &'a Spanned<String>) -> Result<(String, &'a str), Mistake> {
        if let Some((object, name)) = text.value.split_once(':') {
            if self.opened.contains_key(object) {
                return Ok((object.to_owned(), name));
            }
            let known = self.opened.keys().map(String::as_str);
            return Err(Mistake::unknown("object", object, &text.span, known));
        }
        let mut names = self.opened.keys();
        match (names.next(), names.next()) {
            (Some(object), None) => Ok((object.clone(), text)),
            _ => Err(Mistake::new(What::BadName { what, name: text.value.clone() }, &text.span)
                .help(format!("with several objects, write object:{what}"))),
        }
    }

    /// A program by name: object and program.
    pub fn program(&self, text: &Spanned<String>) -> Result<(String, String), Mistake> {
        let (object, name) = self.split("program", text)?;
        let programs = &self.shape.objects[&object].programs;
        if programs.contains_key(name) {
            return Ok((object, name.to_owned()));
        }
        Err(Mistake::unknown("program", name, &text.span, programs.keys().map(String::as_str)))
    }

    /// A map by name: object, map and its shape.
    pub fn map(&self, text: &Spanned<String>) -> Result<(String, String, &MapShape), Mistake> {
        let (object, name) = self.split("map", text)?;
        let maps = &self.shape.objects[&object].maps;
        match maps.get(name) {
            Some(shape) => Ok((object, name.to_owned(), shape)),
            None => Err(Mistake::unknown("map", name, &text.span, maps.keys().map(String::as_str))),
        }
    }

    fn set_type(
        &mut self,
        program: &Spanned<String>,
        prog_type: &Spanned<String>,
        mistakes: &mut Vec<Mistake>,
    ) {
        let (object, name) = match self.program(program) {
            Ok(found) => found,
            Err(mistake) => return mistakes.push(mistake),
        };
        let given = match described::program_type(prog_type) {
            Ok(given) => given,
            Err(why) => return mistakes.push(Mistake::new(What::Value(why), &prog_type.span)),
        };
        let opened = &self.opened[&object];
        let mut typed = opened.object.clone();
        typed.set_type(&name, given);
        self.shape.objects.insert(object.clone(), shape(&typed));
        let opened = Arc::new(Opened { elf: opened.elf.clone(), object: typed });
        self.opened.insert(object.clone(), opened);
        let typed = case::Typed { program: name, prog_type: given as u32 };
        self.typed.entry(object).or_default().push(typed);
    }

    fn set_record(&mut self, map: &Spanned<String>, record: &Spanned<String>, mistakes: &mut Vec<Mistake>) {
        let (object, name) = match self.map(map) {
            Ok((object, name, _)) => (object, name),
            Err(mistake) => return mistakes.push(mistake),
        };
        let wanted = record.trim_start_matches("struct ");
        let opened = &self.opened[&object];
        let btf = opened.object.btf.as_ref();
        let found = btf.and_then(|btf| {
            let id = btf.find(wanted, |kind| matches!(kind, Kind::Struct(_) | Kind::Typedef { .. }))?;
            Some(Layout::of_btf(btf, id))
        });
        if let Some(layout) = found {
            let maps = &mut self.shape.objects.get_mut(&object).expect("opened").maps;
            maps.get_mut(&name).expect("found above").record = Some(layout.into());
        } else {
            let named = btf.into_iter().flat_map(|btf| {
                btf.types().filter(|(_, t)| matches!(t.kind, Kind::Struct(_))).map(|(id, _)| btf.name_of(id))
            });
            let named = named.filter(|name| !name.is_empty());
            mistakes.push(Mistake::unknown("struct", wanted, &record.span, named));
        }
    }

    /// The case's objects, with `config` set and only `programs` (by object) and what they need loaded.
    pub fn images(
        &self,
        header: &Header,
        library: &Library,
        described: &Described,
        mistakes: &mut Vec<Mistake>,
    ) -> Vec<ObjectImage> {
        let kernel_types = header.btf.as_ref().and_then(|btf| {
            let read = |path: &str| library.read(path).map(std::borrow::Cow::into_owned);
            described::types_by(btf, read).unwrap_or_else(|why| {
                mistakes.push(Mistake::new(What::File { path: btf.value.clone(), why }, &btf.span));
                None
            })
        });
        for option in header.kconfig.keys().filter(|option| !option.starts_with("CONFIG_")) {
            let what = format!("{} is no kernel option, whose names begin with CONFIG_", option.value);
            mistakes.push(Mistake::new(What::Value(what), &option.span));
        }
        let kconfig = header.kconfig.iter().map(|(name, value)| (name.value.clone(), value.value.clone()));
        let kconfig: Vec<(String, String)> = kconfig.collect();
        for object in header.config.keys() {
            if !self.opened.contains_key(&object.value)
                && header.objects.keys().all(|o| o.value != object.value)
            {
                let known = header.objects.keys().map(|name| name.as_str());
                mistakes.push(Mistake::unknown("object", object, &object.span, known));
            }
        }
        self.opened
            .iter()
            .map(|(name, opened)| {
                let config = header.config.iter().find(|(object, _)| object.value == *name);
                let mut globals = Vec::new();
                for (variable, node) in config.into_iter().flat_map(|(_, table)| table) {
                    match global(&opened.object, variable, node) {
                        Ok(global) => globals.push(global),
                        Err(mistake) => mistakes.push(mistake),
                    }
                }
                let mut image = ObjectImage {
                    name: name.clone(),
                    elf: Bytes(opened.elf.clone()),
                    globals,
                    programs: Vec::new(),
                    types: self.typed.get(name).cloned().unwrap_or_default(),
                    kconfig: kconfig.clone(),
                    kernel_types: kernel_types.clone(),
                    sizes: self.given(name, &header.max_entries, |map, size| case::Resized {
                        map,
                        max_entries: size.value,
                    }),
                };
                described.describe(&mut image);
                image
            })
            .collect()
    }
}

impl Objects {
    /// What the header says of maps of one object; what it names wrongly is left out, being a mistake already.
    fn given<V, T>(
        &self,
        object: &str,
        said: &BTreeMap<Spanned<String>, V>,
        make: impl Fn(String, &V) -> T,
    ) -> Vec<T> {
        let of_object = said.iter().filter_map(|(name, value)| {
            let (of, name) = self.split("name", name).ok()?;
            let shape = &self.shape.objects[object];
            (of == object && shape.maps.contains_key(name)).then(|| make(name.to_owned(), value))
        });
        of_object.collect()
    }
}

/// A global variable by its C name, with a new value.
pub fn global(object: &Object, variable: &Spanned<String>, node: &Node) -> Result<Global, Mistake> {
    let Some(btf) = &object.btf else {
        let why = "the object has no BTF, so its variables have no names".to_owned();
        return Err(Mistake::new(What::Value(why), &variable.span));
    };
    let mut known = Vec::new();
    for map in &object.maps {
        let MapContents::Section(initial) = &map.contents else { continue };
        let Some((_, vars)) = btf.data_section(&map.spec.name) else { continue };
        for var in vars {
            let name = btf.name_of(var.type_id);
            if name == variable.value {
                let layout = Layout::of_btf(btf, var.type_id);
                let mut value = Encoder::encode(&layout, node)?;
                // Members that are not named keep what the C source says.
                let start = var.offset as usize;
                let initial = initial.get(start..start + value.bytes.len()).unwrap_or_default();
                for ((byte, mask), initial) in value.bytes.iter_mut().zip(&value.mask).zip(initial) {
                    *byte |= initial & !mask;
                }
                let section = map.spec.name.clone();
                return Ok(Global { section, offset: var.offset, value: value.bytes.into() });
            }
            known.push(name);
        }
    }
    Err(Mistake::unknown("global variable", variable, &variable.span, known))
}

/// The types of an object's programs, keys and values.
pub fn shape(object: &Object) -> ObjectShape {
    let typed = |id: u32, size: u32| -> Typed {
        let known = object.btf.as_ref().filter(|_| id != 0).map(|btf| Layout::of_btf(btf, id));
        match known {
            Some(layout) if layout.size() == size => layout.into(),
            // Without a type, or with one the map's sizes belie: a number, if it can be one.
            _ if matches!(size, 1 | 2 | 4 | 8) => Layout::Int { size, sense: Sense::Unsigned }.into(),
            _ => Layout::Opaque { size }.into(),
        }
    };
    let section = |name: &str, size: u32| -> Option<Typed> {
        let btf = object.btf.as_ref()?;
        let (_, vars) = btf.data_section(name)?;
        let member = |var: &bpftwin_sim::bpf::btf::SecVar| crate::layout::Member {
            name: btf.name_of(var.type_id).to_owned(),
            bit_offset: var.offset * 8,
            bit_size: 0,
            layout: Layout::of_btf(btf, var.type_id),
        };
        Some(
            Layout::Struct { name: name.to_owned(), size, members: vars.iter().map(member).collect() }.into(),
        )
    };
    let map = |map: &bpftwin_sim::bpf::object::ObjectMap| {
        let spec = &map.spec;
        let (initial, value) = match &map.contents {
            MapContents::Section(bytes) => (Some(bytes.clone()), section(&spec.name, spec.value_size)),
            _ => (None, None),
        };
        let shape = MapShape {
            map_type: spec.map_type,
            key: typed(spec.key_type, spec.key_size),
            value: value.unwrap_or_else(|| typed(spec.value_type, spec.value_size)),
            initial,
            record: None,
            max_entries: spec.max_entries,
        };
        (spec.name.clone(), shape)
    };
    ObjectShape {
        programs: object.programs.iter().map(|p| (p.name.clone(), p.prog_type)).collect(),
        maps: object.maps.iter().map(map).collect(),
    }
}

/// Whether BPF_PROG_TEST_RUN exists for a program type and gives packets to it; the reason if not.
pub fn runnable(prog_type: ProgType, span: &Span, name: &str) -> Result<(), Mistake> {
    if crate::ctx::runnable(prog_type) {
        return Ok(());
    }
    let what = format!("{name} is a {prog_type}, for which the program form has no runs");
    Err(Mistake::new(What::Value(what), span).help(
        "there are runs of tc, XDP, socket filter, lwt, sk_lookup, flow dissector, netfilter, syscall, cgroup, sockops, \
         sk_msg and sk_reuseport programs",
    ))
}
