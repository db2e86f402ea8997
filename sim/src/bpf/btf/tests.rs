use super::ext::Ext;
use super::{Btf, Kind, Linkage};
use crate::bpf::object::Object;

fn whole() -> Btf {
    let bytes = include_bytes!("../../../tests/objects/whole.o");
    Object::parse("whole.o", bytes).unwrap().btf.unwrap()
}

fn named(btf: &Btf, name: &str) -> u32 {
    btf.find(name, |kind| !matches!(kind, Kind::DeclTag { .. })).unwrap_or_else(|| panic!("no type {name}"))
}

#[test]
fn sizes_and_alignments_are_the_compilers() {
    let btf = whole();
    let table = [
        ("key", Some(8), Some(4)),
        ("value", Some(32), Some(8)),
        ("__u16", Some(2), Some(2)),
        ("verdict", Some(4), Some(4)),
        // Nothing but unnamed bit-fields and an attribute, of which BTF knows neither.
        ("bpf_timer", Some(16), Some(1)),
        ("ports", Some(8), None),
        ("LICENSE", Some(13), None),
        (".rodata.config", Some(8), None),
        ("main_prog", None, None),
    ];
    for (name, size, align) in table {
        let id = named(&btf, name);
        assert_eq!((btf.size_of(id), btf.align_of(id)), (size, align), "{name}");
    }
    assert_eq!(btf.size_of(0), None);
    assert_eq!(btf.size_of(btf.len()), None);
}

#[test]
fn members_carry_their_bits() {
    let btf = whole();
    let composite = btf.composite(named(&btf, "key")).unwrap();
    let members: Vec<_> =
        composite.members.iter().map(|m| (btf.text(m.name), m.bit_offset, m.bit_size)).collect();
    assert_eq!(members, [("addr", 0, 0), ("port", 32, 0), ("proto", 48, 0), ("pad", 56, 3), ("dir", 59, 5)]);
    let composite = btf.composite(named(&btf, "value")).unwrap();
    let described: Vec<_> = composite.members.iter().map(|m| btf.describe(m.type_id)).collect();
    assert_eq!(described, ["struct bpf_spin_lock", "enum verdict", "anonymous union", "struct bpf_timer"]);
}

#[test]
fn types_are_described_as_c_writes_them() {
    let btf = whole();
    let described = |name| match btf.get(named(&btf, name)).kind {
        Kind::Var { to, .. } => btf.describe(to),
        _ => btf.describe(named(&btf, name)),
    };
    for (name, expected) in [
        ("limit", "const volatile __u32"),
        ("ports", "const volatile __u32[2]"),
        ("LICENSE", "char[13]"),
        ("__u64", "__u64"),
        ("xdp_md", "struct xdp_md"),
    ] {
        assert_eq!(described(name), expected);
    }
}

#[test]
fn variables_lie_where_the_symbols_say() {
    let btf = whole();
    let (_, vars) = btf.data_section(".bss").unwrap();
    let places: Vec<_> = vars.iter().map(|v| (btf.name_of(v.type_id), v.offset, v.size)).collect();
    assert_eq!(places, [("hidden", 0, 4), ("seen", 8, 16)]);
    let linkage = |name| match btf.get(named(&btf, name)).kind {
        Kind::Var { linkage, .. } => linkage,
        _ => panic!("{name} is a variable"),
    };
    assert_eq!(
        ["hidden", "seen", "CONFIG_HZ"].map(linkage),
        [Linkage::Static, Linkage::Global, Linkage::Extern]
    );
}

#[test]
fn declaration_tags_belong_to_what_they_are_written_on() {
    let btf = whole();
    assert_eq!(btf.decl_tags(named(&btf, "perf"), None), ["drops"]);
    assert!(btf.decl_tags(named(&btf, "events"), None).is_empty());
}

/// Types by hand: a header, `types` and the strings `\0a\0`.
fn section(types: &[u32]) -> Vec<u8> {
    let len = 4 * types.len() as u32;
    let mut bytes = 0x0001_eb9f_u32.to_le_bytes().to_vec();
    for word in [24, 0, len, len, 3] {
        bytes.extend(u32::to_le_bytes(word));
    }
    bytes.extend(types.iter().flat_map(|word| word.to_le_bytes()));
    bytes.extend(b"\0a\0");
    bytes
}

#[test]
fn endless_types_have_no_size() {
    // 1: an array of itself; 2: a typedef of itself; 3: a struct whose member is itself.
    let types = [0, 3 << 24, 0, 1, 0, 2, 1, 8 << 24, 2, 1, 4 << 24 | 1, 4, 1, 3, 0];
    let btf = Btf::parse(&section(&types)).unwrap();
    assert_eq!(btf.size_of(1), None);
    assert_eq!(btf.size_of(2), None);
    assert_eq!(btf.align_of(3), None);
    assert!(btf.describe(1).contains('…'));
}

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let table: [(&[u32], &str); 8] = [
        (&[0, 2 << 24, 9], "offset 0x18: refers to type 9; there are 1"),
        (&[7, 2 << 24, 0], "offset 0x18: name offset 0x7 is past the 3 bytes of strings"),
        (&[0, 25 << 24, 0], "offset 0x18: unknown kind 25"),
        (&[0, 1 << 24, 4], "offset 0x24: 4 more bytes expected, 0 left"),
        (&[0, 1 << 24, 1, 16], "offset 0x24: integer of 16 bits at bit 0 in 1 bytes"),
        (&[0, 6 << 24, 3], "offset 0x24: enumeration of 3 bytes"),
        (&[0, 4 << 24 | 0xffff, 4], "offset 0x24: 4 more bytes expected, 0 left"),
        (&[1, 14 << 24, 0, 5], "offset 0x24: unknown linkage 5"),
    ];
    for (types, expected) in table {
        assert_eq!(Btf::parse(&section(types)).unwrap_err().to_string(), expected);
    }
    let mut big = section(&[]);
    big[..2].reverse();
    assert_eq!(Btf::parse(&big).unwrap_err().to_string(), "offset 0x0: big-endian BTF");
    assert!(Btf::parse(&[]).is_err());
}

#[test]
fn strings_need_not_be_utf8() {
    let mut bytes = section(&[1, 7 << 24, 0]);
    let at = bytes.len() - 2;
    bytes[at] = 0xe9;
    assert_eq!(Btf::parse(&bytes).unwrap().name_of(1), "?");
}

#[test]
fn records_may_be_longer_than_known() {
    let mut bytes = 0x0001_eb9f_u32.to_le_bytes().to_vec();
    // Function info with records of 12 bytes, one of them, in a section called "a".
    for word in [24_u32, 0, 24, 24, 0, 12, 1, 1, 8, 1, 77] {
        bytes.extend(word.to_le_bytes());
    }
    let btf = Btf::parse(&section(&[1, 7 << 24, 0])).unwrap();
    let ext = Ext::parse(&bytes, &btf).unwrap();
    assert_eq!(ext.functions.len(), 1);
    assert_eq!(ext.functions[0].0, "a");
    assert_eq!((ext.functions[0].1[0].offset, ext.functions[0].1[0].type_id), (8, 1));
}
