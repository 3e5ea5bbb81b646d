use super::*;

#[test]
fn code_keeps_its_place() {
    let source = Source::new("a/src/lib.rs", "let ü = \"ü\"; // é\nnext");
    let lines: Vec<Line<'_>> = source.lines().collect();
    assert_eq!(lines[0].code, "let ü =     ;      ");
    assert_eq!(lines[0].comment(), "// é");
    assert_eq!(lines[0].longest_literal(), 4);
    assert_eq!((lines[1].number, lines[1].text, lines[1].code), (2, "next", "next"));
}

#[test]
fn words_are_whole() {
    let found: Vec<usize> = words("mod a; model my_mod mod::x", "mod").collect();
    assert_eq!(found, [0, 20]);
    assert_eq!(words("thread::sleep(x) no_sleep(x)", "sleep(").count(), 1);
}

#[test]
fn items_under_cfg_test_are_test_code() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nuse x;\nfn d() {}";
    let source = Source::new("a/src/lib.rs", text);
    let tests: Vec<usize> = (1..=9).filter(|line| source.is_test(*line)).collect();
    assert_eq!(tests, [2, 3, 4, 5, 7, 8]);
}

#[test]
fn modules_are_looked_for_where_the_compiler_looks() {
    let first = |path: &str| {
        let source = Source::new(path, "pub(crate) mod part;\nmod inline { }\nfn f() {}");
        let modules = source.modules();
        assert_eq!(modules.len(), 1, "{path}");
        modules.into_iter().next().unwrap().candidates[0].clone()
    };
    assert_eq!(first("a/src/lib.rs"), "a/src/part.rs");
    assert_eq!(first("a/src/job.rs"), "a/src/job/part.rs");
    assert_eq!(first("a/src/job/mod.rs"), "a/src/job/part.rs");
    assert_eq!(first("a/src/job/tests/deep.rs"), "a/src/job/tests/deep/part.rs");
    assert_eq!(first("a/tests/restart.rs"), "a/tests/part.rs");
    assert_eq!(first("a/src/bin/tool.rs"), "a/src/bin/part.rs");
}
