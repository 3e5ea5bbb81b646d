use super::*;
use serde::Deserialize;

#[derive(Debug, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(u8),
    Square { colour: Colour },
}

#[derive(Debug, Serialize, Deserialize)]
enum Colour {
    Red,
    Blue,
}

fn shapes(golden: &mut Golden) {
    golden.add("point", &Shape::Point);
    golden.add("red", &vec![Some(Shape::Square { colour: Colour::Red })]);
    golden.add("blue", &(7u32, Shape::Square { colour: Colour::Blue }));
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("golden.txt");
    std::fs::write(&path, format!("{HEAD}{text}")).unwrap();
    (dir, path)
}

/// Compares, however the tests are run.
fn golden(path: impl Into<PathBuf>) -> Golden {
    Golden { rewrite: false, ..Golden::new(path) }
}

const SHAPES: &str = "\
point: 00
    Point
red: 01010200
    [Some(Square { colour: Red })]
blue: 070201
    (7, Square { colour: Blue })
circle: 0109
    Circle(9)
";

#[test]
fn values_with_the_bytes_of_the_file_pass() {
    let (_dir, path) = file(SHAPES);
    let mut golden = golden(path);
    shapes(&mut golden);
    golden.add("circle", &Shape::Circle(9));
    golden.check();
}

#[test]
#[should_panic(expected = "no golden value has [\"Shape::Circle\"]")]
fn a_variant_without_a_value_is_named() {
    let (_dir, path) = file(SHAPES);
    let mut golden = golden(path);
    shapes(&mut golden);
    golden.check();
}

#[test]
#[should_panic(expected = "no golden value has [\"Colour::Blue\", \"Shape::Point\"]")]
fn a_variant_within_a_variant_is_missed_too() {
    let mut golden = golden("none");
    golden.add("red", &Some(Shape::Square { colour: Colour::Red }));
    golden.add("circle", &Shape::Circle(9));
    golden.check();
}

#[test]
#[should_panic(expected = "circle is not what it was")]
fn other_bytes_than_the_files_are_refused() {
    let (_dir, path) = file(SHAPES);
    let mut golden = golden(path);
    shapes(&mut golden);
    golden.add("circle", &Shape::Circle(8));
    golden.check();
}

#[test]
#[should_panic(expected = "has what is not tested")]
fn a_value_that_is_only_in_the_file_is_missed() {
    let (_dir, path) = file(&format!("{SHAPES}triangle: 03\n    Triangle\n"));
    let mut golden = golden(path);
    shapes(&mut golden);
    golden.add("circle", &Shape::Circle(9));
    golden.check();
}
