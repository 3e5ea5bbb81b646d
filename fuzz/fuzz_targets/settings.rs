//! Reads arbitrary bytes as settings: in each format of a file, and as variables of the
//! environment. Whatever is wrong can be told.
//!
//! Through a real file, since that is how settings come.
#![no_main]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clustron_config::Loader;
use clustron_core::simulation::Decoder;
use libfuzzer_sys::fuzz_target;

const DECODERS: [Decoder; 6] = [
    Decoder::new("toml", |bytes| file("a.toml", bytes)),
    Decoder::new("json", |bytes| file("a.json", bytes)),
    Decoder::new("appsettings", |bytes| file("appsettings.a.json", bytes)),
    Decoder::new("yaml", |bytes| file("a.yaml", bytes)),
    Decoder::new("xml", |bytes| file("a.xml", bytes)),
    Decoder::new("environment", |bytes| {
        let variables = bytes.split(|byte| *byte == b'\n').map(|line| {
            let at = line.iter().position(|byte| *byte == b'=').unwrap_or(line.len());
            let (name, value) = (&line[..at], line.get(at + 1..).unwrap_or_default());
            let name = [b"CLUSTRON__", name].concat();
            (OsString::from_vec(name), OsString::from_vec(value.to_vec()))
        });
        load(Loader::new().env_from(variables.collect::<Vec<_>>()));
    }),
];

fn file(name: &str, bytes: &[u8]) {
    let dir = std::env::temp_dir().join(format!("clustron-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&dir).expect("the directory for passing files works");
    let file = dir.join(name);
    std::fs::write(&file, bytes).expect("the directory for passing files works");
    load(Loader::new().file(file));
}

fn load(loader: Loader) {
    match loader.load() {
        Ok(settings) => drop(settings.to_string()),
        Err(error) => drop(error.to_string()),
    }
}

fuzz_target!(|data: &[u8]| clustron_fuzz::feed(&DECODERS, data));
