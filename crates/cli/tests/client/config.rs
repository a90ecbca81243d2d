//! `config`: what is configured, where it comes from, and changes to the file.

use std::{
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::harness::*;

/// A user's home.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, program: &str) -> PathBuf {
        self.path().join(format!(".config/{program}/config.yaml"))
    }

    fn with(self, program: &str, text: &str) -> Self {
        let file = self.file(program);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
        self
    }

    fn run(&self, args: &[&str]) -> Ran {
        self.run_in(&[], args)
    }

    fn run_in(&self, env: &[(&str, &str)], args: &[&str]) -> Ran {
        let mut command = palomar(args);
        command.env("HOME", self.path()).envs(env.iter().copied());
        finished(command.output().unwrap())
    }

    fn set(&self, args: &[&str]) {
        let all = [&["config", "set"], args].concat();
        assert_eq!(self.run(&all).ok(), "");
    }

    fn get(&self, key: &str) -> String {
        self.run(&["config", "get", key]).ok()
    }
}

#[test]
fn what_is_set_is_there_and_what_is_reset_is_gone() {
    let home = Home::new();
    home.set(&["server", "tls://relay.example:443"]);
    home.set(&["tls", "t"]);
    home.set(&["timeout", "90s"]);
    home.set(&["tls-ca-cert-files", "[a.pem,\"b,c.pem\"]"]);
    assert_eq!(
        fs::read_to_string(home.file("palomar")).unwrap(),
        "server: tls://relay.example:443\ntimeout: 1m30s\ntls: true\ntls-ca-cert-files:\n    - \
         a.pem\n    - b,c.pem\n"
    );
    assert_eq!(home.get("server"), "tls://relay.example:443\n");
    assert_eq!(home.get("tls-ca-cert-files"), "- a.pem\n- b,c.pem\n");

    assert_eq!(home.run(&["config", "reset", "server"]).ok(), "");
    assert_eq!(home.get("server"), "localhost:4245\n");
    assert_eq!(home.run(&["config", "reset"]).ok(), "");
    assert_eq!(home.get("timeout"), "5s\n");
    assert_eq!(fs::read_to_string(home.file("palomar")).unwrap(), "");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let home = Home::new().with("palomar", "server: file:1\ntimeout: 3\n");
    let server = |env: &[(&str, &str)], flags: &[&str]| {
        let args = [&["config", "get", "server"], flags].concat();
        home.run_in(env, &args).ok()
    };
    let hubble = ("HUBBLE_SERVER", "hubble:1");
    let palomar = ("PALOMAR_SERVER", "palomar:1");
    assert_eq!(server(&[], &[]), "file:1\n");
    assert_eq!(server(&[hubble], &[]), "hubble:1\n");
    assert_eq!(server(&[hubble, palomar], &[]), "palomar:1\n");
    assert_eq!(
        server(&[hubble, palomar], &["--server", "flag:1"]),
        "flag:1\n"
    );
    assert_eq!(server(&[("HUBBLE_SERVER", "")], &[]), "file:1\n");
    // Without a unit a file counts nanoseconds.
    assert_eq!(home.get("timeout"), "3ns\n");
}

#[test]
fn view_shows_all_settings_and_what_else_is_in_the_file() {
    let home = Home::new().with(
        "hubble",
        "denylist: ['{}']\nTLS: true\nport-forward-port: 7\n",
    );
    let view = home
        .run_in(
            &[("HUBBLE_TLS_ALLOW_INSECURE", "true")],
            &["config", "view"],
        )
        .ok();
    for line in [
        "basic-auth-password: \"\"",
        "debug: false",
        "denylist:\n    - '{}'",
        "kube-namespace: kube-system",
        "port-forward-port: 7",
        "request-timeout: 12s",
        "server: localhost:4245",
        "tls: true",
        // As the environment has it.
        "tls-allow-insecure: \"true\"",
        "tls-ca-cert-files: []",
    ] {
        assert!(view.contains(&format!("{line}\n")), "{line}: {view}");
    }
    let file = home.file("hubble").display().to_string();
    assert!(view.contains(&format!("config: {file}\n")), "{view}");
}

#[test]
fn our_file_comes_before_hubbles_and_the_one_that_holds_is_changed() {
    let home = Home::new().with("hubble", "server: hubble:1\n");
    home.set(&["tls", "true"]);
    assert!(!home.file("palomar").exists());
    assert_eq!(
        fs::read_to_string(home.file("hubble")).unwrap(),
        "server: hubble:1\ntls: true\n"
    );
    let home = home.with("palomar", "server: palomar:1\n");
    assert_eq!(home.get("server"), "palomar:1\n");
    let named = home.path().join("other.yaml");
    let named = named.to_str().unwrap();
    assert_eq!(
        home.run(&["config", "set", "server", "x:1", "--config", named])
            .ok(),
        ""
    );
    assert_eq!(fs::read_to_string(named).unwrap(), "server: x:1\n");
}

#[test]
fn what_is_wrong_is_told_in_hubbles_words() {
    let home = Home::new().with("palomar", "other: 1\nmap: {a: 1}\n");
    for (args, message) in [
        (
            &["get", "a", "b"][..],
            "invalid arguments: get requires exactly 0 or 1 argument: got 'a b'",
        ),
        (&["get", "nope"], "unknown key: nope"),
        (&["get", "Server"], "unknown key: Server"),
        (&["get", "other"], "key=other not bound to a flag"),
        (&["get", "map"], "unknown key: map"),
        (&["get", "map.a"], "key=map.a not bound to a flag"),
        (
            &["set"],
            "invalid arguments: set requires exactly 1 or 2 argument(s): got ''",
        ),
        (&["set", "nope", "1"], "unknown key: nope"),
        (
            &["set", "tls", "maybe"],
            "cannot assign value=maybe for key=tls, expected type=bool: strconv.ParseBool: parsing \
             \"maybe\": invalid syntax",
        ),
        (
            &["set", "timeout", "x"],
            "cannot assign value=x for key=timeout, expected type=duration: time: invalid duration \
             \"xns\"",
        ),
        (
            &["set", "tls-ca-cert-files", "a\"b"],
            "cannot assign value=a\"b for key=tls-ca-cert-files, expected type=stringSlice: parse \
             error on line 1, column 2: bare \" in non-quoted-field",
        ),
        (&["set", "tls", "--nope"], "unknown flag: --nope"),
        (
            &["reset", "a", "b"],
            "invalid arguments: resset requires exactly 0 or 1 argument: got 'a b'",
        ),
        (
            &["set", "tls", "1", "--config", "noext"],
            "config type could not be determined for noext",
        ),
        (
            &["set", "tls", "1", "--config", "/proc/x/y.yaml"],
            "configuration directory does not exist and cannot be created: mkdir /proc/x: no such \
             file or directory",
        ),
    ] {
        let all = [&["config"], args].concat();
        assert_eq!(home.run(&all).failed(), format!("{message}\n"), "{args:?}");
    }
    // Nothing of it has changed the file.
    let file = fs::read_to_string(home.file("palomar")).unwrap();
    assert_eq!(file, "other: 1\nmap: {a: 1}\n");
}

#[test]
fn a_broken_file_is_passed_over_but_never_overwritten() {
    let home = Home::new().with("palomar", "server: [\n");
    assert_eq!(home.get("server"), "localhost:4245\n");
    let message = home.run(&["config", "set", "tls", "true"]).failed();
    assert!(
        message.starts_with("While parsing config: line 1 "),
        "{message}"
    );
    let file = fs::read_to_string(home.file("palomar")).unwrap();
    assert_eq!(file, "server: [\n");
}

#[test]
fn a_file_keeps_its_mode_and_a_link_its_place() {
    let home = Home::new();
    home.set(&["basic-auth-password", "secret"]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = home.file("palomar");
    // It may hold a password.
    assert_eq!(mode(&file), 0o600);
    assert_eq!(mode(file.parent().unwrap()), 0o750);

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let elsewhere = home.path().join("elsewhere.yaml");
    fs::rename(&file, &elsewhere).unwrap();
    symlink(&elsewhere, &file).unwrap();
    home.set(&["tls", "true"]);
    assert!(fs::symlink_metadata(&file).unwrap().is_symlink());
    assert_eq!(mode(&elsewhere), 0o640);
    assert_eq!(
        fs::read_to_string(&elsewhere).unwrap(),
        "basic-auth-password: secret\ntls: true\n"
    );
    // Nothing is left beside it.
    let left = fs::read_dir(file.parent().unwrap()).unwrap().count();
    assert_eq!(left, 1);
}

#[test]
fn without_a_verb_it_prints_its_help() {
    for args in [&["config"][..], &["config", "nope"]] {
        let stdout = run(args).ok();
        assert!(stdout.contains("  view        "), "{stdout}");
    }
}
