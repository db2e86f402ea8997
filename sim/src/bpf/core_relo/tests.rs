use super::essential;

#[test]
fn flavours_are_no_part_of_a_name() {
    let table = [
        ("task_struct", "task_struct"),
        ("task_struct___old", "task_struct"),
        ("a___b___c", "a___b"),
        ("task____x", "task____x"),
        ("___x", "___x"),
        ("x___", "x___"),
        ("_", "_"),
        ("", ""),
    ];
    for (name, expected) in table {
        assert_eq!(essential(name), expected, "{name}");
    }
}
