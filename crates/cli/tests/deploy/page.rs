//! A page of metrics: fetched, and judged by Prometheus' own tool.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

/// How long a page may take to come.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What Prometheus' tool says against names that are Hubble's, which dashboards of Hubble need.
const HUBBLES: &[&str] = &[
    r#"hubble_dynamic_exporter_exporters_total non-counter metrics should not have "_total" suffix"#,
];

/// The body of a page that is there, in the format that Prometheus' tool reads.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\naccept: text/plain\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no answer")?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{path}: {head}\n{body}");
    Ok(body.to_owned())
}

/// The metrics of a page, also those of which there is no series yet.
pub(crate) fn metrics(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|it| it.strip_prefix("# TYPE "));
    types
        .filter_map(|it| Some(it.split_once(' ')?.0.to_owned()))
        .collect()
}

/// The sum of all series of a metric.
pub(crate) fn sum(page: &str, metric: &str) -> f64 {
    let series = page.lines().filter_map(|it| it.strip_prefix(metric));
    let series = series.filter(|it| it.starts_with(['{', ' ']));
    series
        .filter_map(|it| it.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// Has Prometheus' tool look for what is wrong with names, types and texts.
pub(crate) fn check(page: &str) -> Result<()> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    // Dropped at the end of the statement, which is the end of the page.
    child
        .stdin
        .take()
        .context("no input")?
        .write_all(page.as_bytes())?;
    let output = child.wait_with_output()?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let complaints: Vec<&str> = said.lines().filter(|it| !HUBBLES.contains(it)).collect();
    ensure!(complaints.is_empty(), "{complaints:#?}\n{page}");
    Ok(())
}
