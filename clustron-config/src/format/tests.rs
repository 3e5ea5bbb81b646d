use proptest::prelude::*;

use super::*;

fn read(name: &str, text: &str) -> Result<Node, String> {
    let path: Arc<Path> = Path::new(name).into();
    let format = Format::of(&path)?;
    format.read(&path, text.as_bytes()).map_err(|problem| problem.to_string())
}

fn lines(node: &Node) -> Vec<(String, usize)> {
    let Value::Table(entries) = &node.value else { return vec![] };
    let mut found = vec![];
    for entry in entries {
        found.push((entry.key.clone(), entry.node.origin.line()));
        found.extend(lines(&entry.node));
    }
    found
}

#[test]
fn values_know_their_lines_in_every_format() {
    let expected = [("a", 2), ("b", 3), ("t", 4), ("c", 5)];
    for (name, text) in [
        ("x.toml", "# one\na = 1\nb = 'ü'\n[t]\nc = 2"),
        ("x.json", "{\n\"a\": 1,\n\"b\": \"ü\",\n\"t\": {\n\"c\": 2}}"),
        (
            "appsettings.json",
            "{\"Clustron\": {\n\"a\": 1, // one\n\"b\": \"ü\",\n\"t\": {\n\"c\": 2,}}}",
        ),
        ("x.yaml", "# one\na: 1\nb: ü\nt: {\n  c: 2}"),
        ("x.xml", "<clustron>\n<a>1</a>\n<b>ü</b>\n<t>\n<c>2</c></t></clustron>"),
    ] {
        let found = lines(&read(name, text).unwrap());
        let expected = expected.map(|(key, line)| (key.to_owned(), line));
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn names_tell_the_format_in_any_case() {
    for (name, format) in [
        ("a/clustron.TOML", Format::Toml),
        ("clustron.yml", Format::Yaml),
        ("AppSettings.json", Format::AppSettings),
        ("appsettings.Production.json", Format::AppSettings),
        ("myappsettings.json", Format::Json),
    ] {
        assert_eq!(Format::of(Path::new(name)), Ok(format), "{name}");
    }
    assert!(Format::of(Path::new("clustron.ini")).unwrap_err().contains(".toml, .json"));
    assert!(Format::of(Path::new("")).is_err());
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    for (name, text) in [("x.json", "\u{feff}{\"a\": 1}"), ("x.xml", "\u{feff}<clustron/>")] {
        assert!(read(name, text).is_ok(), "{name}");
    }
}

#[test]
fn files_that_say_nothing_set_nothing() {
    for (name, text) in [
        ("x.toml", ""),
        ("x.toml", "# nothing"),
        ("x.json", "{}"),
        ("x.yaml", ""),
        ("x.yaml", "# nothing\n"),
        ("x.yaml", "---\n"),
        ("x.xml", "<Clustron></Clustron>"),
        ("appsettings.json", "{\"Logging\": {}}"),
        ("appsettings.json", "{\"Clustron\": {}}"),
    ] {
        let root = read(name, text).map(|root| root.value);
        assert_eq!(root, Ok(Value::Table(vec![])), "{name}: {text}");
    }
}

#[test]
fn depth_is_bounded_in_every_format() {
    for deep in [20, 5_000, 100_000] {
        for (name, text) in [
            ("x.toml", format!("a = {}{}", "[".repeat(deep), "]".repeat(deep))),
            ("x.json", format!("{{\"a\": {}{}}}", "[".repeat(deep), "]".repeat(deep))),
            ("x.yaml", format!("a: {}{}", "[".repeat(deep), "]".repeat(deep))),
            (
                "x.xml",
                format!("<clustron>{}{}</clustron>", "<a>".repeat(deep), "</a>".repeat(deep)),
            ),
        ] {
            let error = read(name, &text).unwrap_err();
            assert!(error.len() < 300, "{error}");
        }
    }
}

#[test]
fn aliases_cannot_grow_a_file() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = level - 1;
        let items = vec![format!("*a{below}"); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{items}]\n");
    }
    let error = read("x.yaml", &bomb).unwrap_err();
    assert!(error.starts_with("x.yaml:") && error.contains("not valid YAML: "), "{error}");
    assert!(read("x.yaml", "a: &a 1\nb: *a\n").is_ok(), "a modest alias");
}

#[test]
fn xml_text_may_have_the_five_entities_and_numbers() {
    let text = "<clustron><a>&lt;&amp;&#65;&#x42;<![CDATA[<b>]]>&gt;</a></clustron>";
    let Value::Table(entries) = read("x.xml", text).unwrap().value else { panic!() };
    assert_eq!(entries[0].node.value, Value::Text("<&AB<b>>".to_owned()));
}

/// Pieces that lead a parser further than letters do.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        ":",
        ",",
        "=",
        "\n",
        " ",
        "#",
        "/*",
        "*/",
        "//",
        "<",
        ">",
        "</",
        "<clustron>",
        "</clustron>",
        "<item>",
        "<!DOCTYPE",
        "<![CDATA[",
        "]]>",
        "&",
        ";",
        "&amp;",
        "&#",
        "<?",
        "?>",
        "<!--",
        "-->",
        "&a",
        "*a",
        "<<",
        "- ",
        "---",
        "|",
        "\t",
        "!!",
        "1",
        "-1",
        "1e999",
        "0x",
        "true",
        "null",
        "~",
        "é",
        "\u{feff}",
        "\\u",
        "\\",
        "\"Clustron\":",
        "timing",
        "leader_lease",
        "seeds",
        "tags",
        "roles",
        "300ms",
        "\u{0}",
    ]);
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_bytes_make_a_reader_panic(
        bytes in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            pieces().prop_map(String::into_bytes),
        ],
    ) {
        for name in ["x.toml", "x.json", "appsettings.json", "x.yaml", "x.xml"] {
            let path: Arc<Path> = Path::new(name).into();
            // Either is right; an error names the file.
            if let Err(problem) = Format::of(&path).unwrap().read(&path, &bytes) {
                prop_assert!(problem.to_string().starts_with(name));
            }
        }
    }
}
