//! An API server, and what it knows of relays.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStdout, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::json;
use tempfile::TempDir;
use testbed::{
    api_server::{ApiServer, objects},
    observer::Server,
};

use crate::harness::*;

/// The port where relays listen in their pods, by its number only there.
const PORT: u16 = 4245;

/// A cluster of which only the API server exists.
pub(super) struct Cluster {
    pub(super) api: ApiServer,
    folder: TempDir,
}

impl Cluster {
    pub(super) fn new() -> Self {
        let api = ApiServer::start().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("kubeconfig"), api.kubeconfig()).unwrap();
        Self { api, folder }
    }

    pub(super) fn kubeconfig(&self) -> String {
        self.folder.path().join("kubeconfig").display().to_string()
    }

    /// A service of these pods, each with a relay in it.
    pub(super) fn relay(&self, namespace: &str, service: &str, pods: &[(&str, &Server)]) {
        let mut object = objects::service(namespace, service, "10.96.0.9");
        object["spec"]["selector"] = json!({"app": service});
        let grpc = json!({"name": "grpc", "port": 80, "protocol": "TCP", "targetPort": "grpc"});
        object["spec"]["ports"] = json!([grpc]);
        self.api.put(object);
        for (pod, relay) in pods {
            self.pod(namespace, service, pod);
            let address = relay.address().parse().unwrap();
            self.api.listen_in_pod(namespace, pod, PORT, address);
        }
        let pods: Vec<_> = pods.iter().map(|(pod, _)| (*pod, true)).collect();
        self.slice(namespace, service, &pods);
    }

    /// A pod that is ready, with nobody in it.
    pub(super) fn pod(&self, namespace: &str, service: &str, name: &str) {
        let mut pod = objects::pod(namespace, name, "10.0.0.9", "node-1");
        pod["metadata"]["labels"] = json!({"app": service});
        let ports = json!([{"name": "metrics", "containerPort": 9966}, {"name": "grpc", "containerPort": PORT}]);
        pod["spec"]["containers"][0]["ports"] = ports;
        self.api.put(pod);
    }

    /// Which pods of the service are ready.
    pub(super) fn slice(&self, namespace: &str, service: &str, pods: &[(&str, bool)]) {
        let ips = vec!["10.0.0.9"; pods.len()];
        let mut slice = objects::endpoint_slice(namespace, service, &ips);
        slice["ports"] = json!([{"name": "grpc", "port": PORT, "protocol": "TCP"}]);
        for (index, (pod, is_ready)) in pods.iter().enumerate() {
            let endpoint = &mut slice["endpoints"][index];
            endpoint["conditions"] = json!({"ready": is_ready});
            endpoint["targetRef"] = json!({"kind": "Pod", "namespace": namespace, "name": pod});
        }
        self.api.put(slice);
    }

    /// Runs the binary with a kubeconfig that names this cluster.
    pub(super) fn ask(&self, args: &[&str]) -> Ran {
        run(&[args, &["--kubeconfig", &self.kubeconfig()]].concat())
    }

    /// The same for a command that shows flows until it is interrupted.
    pub(super) fn follow(&self, args: &[&str]) -> Following {
        let mut child = palomar(&[args, &["-o", "json"]].concat())
            .args(["--kubeconfig", &self.kubeconfig()])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Following { child, stdout }
    }
}

/// A command that runs.
pub(super) struct Following {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Following {
    /// The next line; empty at the end.
    pub(super) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    /// The next flow.
    #[track_caller]
    pub(super) fn uuid(&mut self) -> String {
        let mut uuids = uuids(&self.line());
        if uuids.is_empty() {
            self.child.kill().ok();
            panic!("it ended: {}", self.stderr());
        }
        uuids.remove(0)
    }

    /// Ends it as a user does; what it said on standard error.
    #[track_caller]
    pub(super) fn interrupt(mut self) -> String {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        let stderr = self.stderr();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{stderr}");
        stderr
    }

    /// Waits until it ends by itself; its exit code and what it said.
    pub(super) fn ended(mut self) -> (Option<i32>, String) {
        let stderr = self.stderr();
        (self.child.wait().unwrap().code(), stderr)
    }

    fn stderr(&mut self) -> String {
        let mut text = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut text).unwrap();
        text
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // Where a test fails.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
