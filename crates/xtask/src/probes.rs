//! `cargo xtask probes`: builds the eBPF programs into the objects that are checked in.
//!
//! Stable Rust has no standard library for BPF, so the programs are built with Debian's `rustc-web`
//! and its library source, and linked by `bpf-linker` on the same LLVM. The build does not depend
//! on where the checkout lies, so that `--check` can compare bytes.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::workspace;

/// Compiler, its library source, and the LLVM that `bpf-linker` is built on: all of one LLVM.
const PACKAGES: [&str; 4] = ["rustc-web", "rust-web-src", "llvm-22", "llvm-22-dev"];
const COMPILER: &str = "/usr/bin/rustc";
const LIBRARY: &str = "/usr/lib/rustlib/src/rust/library/core/src/lib.rs";
const LLVM: &str = "/usr/lib/llvm-22";
/// The version that is installed: fixed, so that a new one never changes an object.
const LINKER_VERSION: &str = "0.13.0";
const TARGET: &str = "bpfel-unknown-none";
/// Instructions that the programs may use: atomic operations with a result, 32 bit jumps. Every
/// kernel that has ring buffers has them (Linux 5.12).
const CPU: &str = "v3";
/// The binaries of the crate; each becomes an object of its own, so that a kernel that lacks what
/// one of them needs still runs the others.
const OBJECTS: [&str; 6] = ["probes", "sockets", "tcp", "inject", "translate", "floor"];
/// The object whose programs load fields as wide as they are, wherever in a packet they lie: what
/// the probes are for can, and it halves the cost. Elsewhere, the compiler would do the same on the
/// stack, where the kernel does not allow it.
const MISALIGNED: &str = "probes";
/// Where the objects lie, from the root of the workspace.
const FOLDER: &str = "crates/ebpf-probes";

/// Builds the objects; with `check`, compares them with those that are checked in instead of
/// replacing them.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root()?;
    install_packages()?;
    let linker = install_linker(&root)?;
    let built = build(&root, &linker)?;
    let mut stale = Vec::new();
    for name in OBJECTS {
        let bytes = stripped(&built, name)?;
        let path = format!("{FOLDER}/{name}.bpf.o");
        let object = root.join(&path);
        if check {
            let checked_in = fs::read(&object).with_context(|| format!("cannot read {path}"))?;
            if bytes != checked_in {
                stale.push(path);
            }
        } else {
            fs::write(&object, bytes).with_context(|| format!("cannot write {path}"))?;
        }
    }
    ensure!(
        stale.is_empty(),
        "not what the source gives with {}: {}; run `cargo xtask probes` and commit",
        compiler_version()?,
        stale.join(", ")
    );
    Ok(())
}

fn install_packages() -> Result<()> {
    let present = [COMPILER, LIBRARY, LLVM]
        .iter()
        .all(|path| Path::new(path).exists())
        && Path::new(LLVM).join("bin/llvm-objcopy").exists()
        && Path::new(LLVM).join("include/llvm-c").exists();
    if present {
        return Ok(());
    }
    let install = format!("apt-get install {}", PACKAGES.join(" "));
    if !Path::new("/usr/bin/apt-get").exists() {
        bail!("the BPF toolchain is missing, and there is no apt-get here to `{install}`");
    }
    println!("installing {}", PACKAGES.join(" "));
    workspace::run(Command::new("apt-get").args(["update", "-qq"]))?;
    workspace::run(
        Command::new("apt-get")
            .args(["install", "-qq", "--no-install-recommends"])
            .args(PACKAGES)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
    .with_context(|| format!("cannot install the BPF toolchain: as root, `{install}`"))
}

/// The linker of this workspace, installed into `target/tools` if it is not there yet.
fn install_linker(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let program = tools.join("bin/bpf-linker");
    let version = Command::new(&program).arg("--version").output();
    if version.is_ok_and(|it| String::from_utf8_lossy(&it.stdout).contains(LINKER_VERSION)) {
        return Ok(program);
    }
    println!(
        "installing bpf-linker {LINKER_VERSION} into {}",
        tools.display()
    );
    workspace::run(
        Command::new("cargo")
            .args(["install", "--quiet", "--locked", "--force", "bpf-linker"])
            .args(["--version", LINKER_VERSION, "--no-default-features"])
            .args(["--features", "llvm-22", "--root"])
            .arg(&tools)
            .env("LLVM_SYS_221_PREFIX", LLVM)
            .env(
                "RUSTFLAGS",
                format!("-L {LLVM}/lib -Clink-arg=-Wl,-rpath,{LLVM}/lib"),
            ),
    )
    .context("cannot install bpf-linker")?;
    Ok(program)
}

/// Builds the binaries, and returns the folder they are in.
fn build(root: &Path, linker: &Path) -> Result<PathBuf> {
    let target = root.join("target/probes");
    // Paths end up in the object's line information; these stand for the same places everywhere.
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        format!("-Clinker={}", linker.display()),
        "-Clink-arg=--btf".to_owned(),
        format!("-Ctarget-cpu={CPU}"),
        format!("--remap-path-prefix={}=palomar", root.display()),
    ];
    if let Some(registry) = cargo_home.map(|home| home.join("registry/src")) {
        // Each registry has a folder of its own, named after a hash.
        for index in fs::read_dir(&registry).into_iter().flatten().flatten() {
            flags.push(format!(
                "--remap-path-prefix={}=crates",
                index.path().display()
            ));
        }
    }
    for name in OBJECTS {
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(root)
            .args(["rustc", "--quiet", "--locked", "--package", "ebpf-probes"])
            .args(["--bin", name])
            .args([
                "--profile",
                "probes",
                "-Zbuild-std=core",
                "--target",
                TARGET,
            ])
            .arg("--target-dir")
            .arg(&target)
            .env("RUSTC", COMPILER)
            .env("RUSTC_BOOTSTRAP", "1")
            .env_remove("RUSTFLAGS")
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"));
        if name == MISALIGNED {
            cargo.args([
                "--",
                "-Clink-arg=--cpu-features=+allows-misaligned-mem-access",
            ]);
        }
        workspace::run(&mut cargo).with_context(|| format!("cannot build the object {name}"))?;
    }

    Ok(target.join(TARGET).join("probes"))
}

/// An object without what only a debugger would read.
fn stripped(built: &Path, name: &str) -> Result<Vec<u8>> {
    let object = built.join(format!("{name}.bpf.o"));
    workspace::run(
        Command::new(Path::new(LLVM).join("bin/llvm-objcopy"))
            .arg("--strip-debug")
            .args([&built.join(name), &object]),
    )?;
    fs::read(&object).with_context(|| format!("cannot read {}", object.display()))
}

fn compiler_version() -> Result<String> {
    let output = Command::new(COMPILER).arg("--version").output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
