//! What owns a pod, by Hubble's rules.

use super::objects::Metadata;
use crate::record::Workload;

/// The workload behind a pod. Only what was made from a template has one: a pod with a generated
/// name and a controller.
pub(super) fn of(pod: &Metadata) -> Option<Workload> {
    if pod.generate_name.is_empty() {
        return None;
    }
    let owner = pod.owner_references.iter().find(|owner| owner.controller)?;
    let label = |key| pod.labels.get(key).filter(|value| !value.is_empty());
    let workload = |kind: &str, name: &str| {
        Some(Workload {
            kind: kind.to_owned(),
            name: name.to_owned(),
        })
    };
    match owner.kind.as_str() {
        "ReplicaSet" => {
            // The label says how much of the name is the template's hash.
            let deployment = label("pod-template-hash")
                .and_then(|hash| owner.name.strip_suffix(hash.as_str()))
                .and_then(|name| name.strip_suffix('-'));
            match deployment {
                Some(name) => workload("Deployment", name),
                None => workload(&owner.kind, &owner.name),
            }
        }
        "ReplicationController" => match pod.labels.get("deploymentconfig") {
            Some(config) => workload("DeploymentConfig", config),
            None => workload(&owner.kind, &owner.name),
        },
        "Job" => match cron_job(&owner.name) {
            Some(name) => workload("CronJob", name),
            None => workload(&owner.kind, &owner.name),
        },
        kind => workload(kind, &owner.name),
    }
}

/// The cron job that made a job of this name: it appends a dash and its time, 8 to 10 digits.
fn cron_job(job: &str) -> Option<&str> {
    let (name, time) = job.rsplit_once('-')?;
    let is_time = (8..=10).contains(&time.len()) && time.bytes().all(|it| it.is_ascii_digit());
    (is_time && !name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(kind: &str, owner: &str, labels: &[(&str, &str)]) -> Option<(String, String)> {
        let labels: serde_json::Map<_, _> = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), json!(value)))
            .collect();
        let metadata: Metadata = serde_json::from_value(json!({
            "name": "web-x", "generateName": "web-", "labels": labels,
            "ownerReferences": [
                {"kind": "Other", "name": "no-controller"},
                {"kind": kind, "name": owner, "controller": true},
            ],
        }))
        .unwrap();
        of(&metadata).map(|it| (it.kind, it.name))
    }

    #[test]
    fn the_owner_of_the_owner_is_told_from_names_and_labels() {
        let hash = [("pod-template-hash", "5d78c9869d")];
        for (kind, owner, labels, expected) in [
            (
                "ReplicaSet",
                "web-5d78c9869d",
                &hash[..],
                ("Deployment", "web"),
            ),
            (
                "ReplicaSet",
                "web-other",
                &hash,
                ("ReplicaSet", "web-other"),
            ),
            ("ReplicaSet", "web", &[], ("ReplicaSet", "web")),
            (
                "ReplicationController",
                "web-3",
                &[("deploymentconfig", "web")],
                ("DeploymentConfig", "web"),
            ),
            (
                "ReplicationController",
                "web-3",
                &[],
                ("ReplicationController", "web-3"),
            ),
            ("Job", "backup-28913040", &[], ("CronJob", "backup")),
            ("Job", "backup-1700000000", &[], ("CronJob", "backup")),
            ("Job", "backup-1234567", &[], ("Job", "backup-1234567")),
            (
                "Job",
                "backup-12345678901",
                &[],
                ("Job", "backup-12345678901"),
            ),
            ("Job", "backup", &[], ("Job", "backup")),
            ("StatefulSet", "db", &[], ("StatefulSet", "db")),
            ("DaemonSet", "agent", &[], ("DaemonSet", "agent")),
            ("Rollout", "web", &hash, ("Rollout", "web")),
        ] {
            let (kind_expected, name) = expected;
            assert_eq!(
                workload(kind, owner, labels),
                Some((kind_expected.to_owned(), name.to_owned())),
                "{kind}/{owner}"
            );
        }
    }

    #[test]
    fn a_bare_pod_has_none() {
        let bare: Metadata = serde_json::from_value(json!({
            "name": "static", "ownerReferences": [{"kind": "Node", "name": "n1", "controller": true}],
        }))
        .unwrap();
        assert_eq!(of(&bare), None);
        let no_controller: Metadata = serde_json::from_value(json!({
            "name": "a", "generateName": "a-", "ownerReferences": [{"kind": "ReplicaSet", "name": "a"}],
        }))
        .unwrap();
        assert_eq!(of(&no_controller), None);
    }
}
