use proptest::prelude::*;

use super::*;

const NAMES: [&str; 5] = ["a.toml", "a.json", "appsettings.json", "a.yaml", "a.xml"];

/// A line as each format has it, with a key and a value that may be right.
fn line() -> impl Strategy<Value = (String, String)> {
    let key = prop_oneof![
        prop::sample::select(vec![
            "cluster",
            "profile",
            "name",
            "seeds",
            "roles",
            "expect",
            "tags",
            "timing",
            "membership",
            "security",
            "discovery",
            "voters_max",
            "VotersMax",
            "frame_bytes_max",
            "metrics_interval",
            "zone",
            "detector",
        ])
        .prop_map(str::to_owned),
        "[a-zA-Z_]{1,12}",
    ];
    let value = prop_oneof![
        prop::sample::select(vec![
            "3",
            "-1",
            "1e9",
            "true",
            "\"\"",
            "\"member\"",
            "\"a:1,b:2\"",
            "\"2s\"",
            "\"9MiB\"",
            "\"wan\"",
            "[]",
            "[1, \"a\"]",
            "{}",
            "170141183460469231731687303715884105727",
        ])
        .prop_map(str::to_owned),
        "[0-9]{0,25}(\\.[0-9]{1,12})?[a-zA-Z]{0,3}".prop_map(|text| format!("\"{text}\"")),
    ];
    (key, value)
}

/// The same settings in all formats.
fn texts(lines: &[(String, String)]) -> [String; 5] {
    let joined = |between: &str, line: &dyn Fn(&str, &str) -> String| {
        let lines: Vec<String> = lines.iter().map(|(key, value)| line(key, value)).collect();
        lines.join(between)
    };
    let json = format!("{{{}}}", joined(",", &|key, value| format!("\"{key}\": {value}")));
    let xml = joined("", &|key, value| format!("<{key}>{}</{key}>", value.trim_matches('"')));
    [
        joined("\n", &|key, value| format!("{key} = {value}")),
        json.clone(),
        format!("{{\"Clustron\": {json}}}"),
        joined("\n", &|key, value| format!("{key}: {value}")),
        format!("<clustron>{xml}</clustron>"),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_settings_make_the_loader_panic_and_what_it_gives_is_checked(
        lines in prop::collection::vec(line(), 0..8),
        variables in prop::collection::vec(("CLUSTRON__[A-Z_]{0,20}", "[ -~]{0,12}"), 0..3),
    ) {
        for (name, text) in NAMES.into_iter().zip(texts(&lines)) {
            let loader = Loader::new().cluster("shop").file(name).env_from(variables.clone());
            match loader.interpret(&[Content::Bytes(text.into_bytes())]) {
                Ok(settings) => {
                    let problems = settings.config().problems_with(settings.has_sources());
                    prop_assert!(problems.is_empty());
                }
                Err(error) => prop_assert!(!error.problems().is_empty()),
            }
        }
    }
}

#[test]
fn large_files_of_all_kinds_are_read_or_refused() {
    let full = |piece: &str, before: &str, after: &str| {
        // A quarter of what is allowed: the parsers take their time where they are not optimised.
        let room = usize::try_from(FILE_BYTES_MAX / 4).unwrap() - before.len() - after.len();
        format!("{before}{}{after}", piece.repeat(room / piece.len()))
    };
    for (name, text) in [
        ("a.toml", full("a.", "", "a = 1")),
        ("a.toml", full("a.", "[", "a]")),
        ("a.toml", full("{a=", "a=", "")),
        ("a.toml", full("[[a]]\n", "", "")),
        ("a.toml", full("[a.b]\n", "", "")),
        ("a.toml", full("'a',", "seeds = [", "]")),
        ("a.toml", full("\"", "a = ", "")),
        ("a.json", full("{\"a\":", "", "")),
        ("a.json", full("{\"a\": 1},", "{\"tags\": [", "1]}")),
        ("a.json", full("\"a\":1,", "{", "\"a\":1}")),
        ("a.json", full("\\u0041", "{\"name\": \"", "\"}")),
        ("appsettings.json", full("/**/", "{", "}")),
        ("appsettings.json", full("/*", "{", "}")),
        ("appsettings.json", full(",", "[", "]")),
        ("a.yaml", full("a: ", "", "")),
        ("a.yaml", full("- ", "", "")),
        ("a.yaml", full("? ", "", "")),
        ("a.yaml", full("{a: ", "", "")),
        ("a.yaml", full("&a ", "", "")),
        ("a.yaml", full("a: 1\n", "", "")),
        ("a.yaml", full("a: &a x\nb: *a\n", "", "")),
        ("a.yaml", full("- *a\n", "a: &a x\nseeds:\n", "")),
        ("a.yaml", full("!", "a: ", " x")),
        ("a.yaml", full("# x\n", "", "")),
        ("a.yaml", full("\"", "a: ", "")),
        ("a.yaml", full("---\n", "", "")),
        ("a.xml", full("<a>", "<clustron>", "</clustron>")),
        ("a.xml", full("<a/>", "<clustron>", "</clustron>")),
        ("a.xml", full("&amp;", "<clustron><name>", "</name></clustron>")),
        ("a.xml", full("<!---->", "<clustron>", "</clustron>")),
        ("a.xml", full("<", "", "")),
        ("a.xml", full("a=\"b\" ", "<clustron ", "/>")),
    ] {
        let loader = Loader::new().cluster("shop").file(name);
        let start: String = text.chars().take(20).collect();
        if let Err(error) = loader.interpret(&[Content::Bytes(text.into_bytes())]) {
            assert!(error.to_string().len() < 100_000, "{name}: {start}");
        }
    }
}
