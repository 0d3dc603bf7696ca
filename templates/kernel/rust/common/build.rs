// SPDX-License-Identifier: MIT
//! Assembles boot.S, and has buildplug write the module that reads the table of symbols.
use std::env;
use std::process::Command;

const MODULES: &str = "target/buildplug"; // where main.rs has its path

fn main() {
    let object = env::var("OUT_DIR").unwrap() + "/boot.o";
    let gcc = match &*env::var("CARGO_CFG_TARGET_ARCH").unwrap() {
        "x86_64" => "cc".into(),
        arch => format!("{arch}-linux-gnu-gcc"),
    };
    run(&env::var("CC").unwrap_or(gcc), &["-c", "boot.S", "-o", &object]);
    println!("cargo:rustc-link-arg-bins={object}");
    run("buildplug", &["runtime", MODULES, "--language", "rust"]);
    for file in ["boot.S", "build.rs", "buildplug.toml", "kernel.lds"] {
        println!("cargo:rerun-if-changed={file}");
    }
}

fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status();
    let status = status.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} failed: {status}");
}
