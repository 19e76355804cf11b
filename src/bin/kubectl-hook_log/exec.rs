//! Runs a program in a running container, prints its output, and returns its status.

use std::io::{self, IsTerminal, Write};

use futures_util::SinkExt;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::{AttachParams, AttachedProcess, TerminalSize};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::failure::{Failure, Request};

/// Buffer size in bytes.
const BUFFER: usize = 64 * 1024;

pub struct Target<'a> {
    pub pods: &'a Api<Pod>,
    pub namespace: &'a str,
    pub pod: &'a str,
    pub container: &'a str,
}

/// How a program ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Status(u8),
    /// It could not be started; the node's message.
    NotStarted(String),
    /// The connection was lost first.
    Lost,
}

impl Target<'_> {
    /// Runs the program to its end and returns its exit status.
    pub async fn run(&self, words: &[String]) -> Result<u8, Failure> {
        // Only with a terminal at both ends do the table's width and colours fit.
        let terminal = io::stdout().is_terminal() && io::stderr().is_terminal();
        let mut process = self.start(words, terminal).await?;
        if let (Some(mut size), Some((width, height))) =
            (process.terminal_size(), terminal_size::terminal_size())
        {
            // If this fails, the program assumes 80 columns.
            let _ = size.send(TerminalSize { width: width.0, height: height.0 }).await;
        }
        let status = process.take_status();
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let passed = tokio::try_join!(pass(stdout, io::stdout()), pass(stderr, io::stderr()));
        if passed.is_err() {
            // `kubectl hook-log vote | head`: nobody reads any more.
            return Ok(0);
        }
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        match end(status.as_ref()) {
            End::Status(status) => Ok(status),
            End::NotStarted(why) => Err(Failure::refused(format!(
                "{} cannot be started in the pod {}: {why}",
                words[0], self.pod
            ))),
            End::Lost => Err(Failure::refused(format!(
                "the connection to the pod {} was lost before all was read; what is shown is not all",
                self.pod
            ))),
        }
    }

    /// Whether the container has the program and can start it.
    pub async fn has(&self, program: &str) -> Result<bool, Failure> {
        let mut process = self.start(&[program.to_owned(), "--version".to_owned()], false).await?;
        let status = process.take_status();
        let (stdout, stderr) = (process.stdout(), process.stderr());
        let _ = tokio::join!(pass(stdout, io::sink()), pass(stderr, io::sink()));
        let status = match status {
            Some(status) => status.await,
            None => None,
        };
        Ok(end(status.as_ref()) == End::Status(0))
    }

    async fn start(&self, words: &[String], terminal: bool) -> Result<AttachedProcess, Failure> {
        let streams = AttachParams::default()
            .container(self.container)
            .stdin(false)
            .stdout(true)
            .stderr(!terminal)
            .tty(terminal)
            .max_stdout_buf_size(BUFFER);
        self.pods.exec(self.pod, words, &streams).await.map_err(|error| {
            Request::new("create", "pods/exec", self.namespace)
                .needed(", and the log is read in a pod that has it", "")
                .failure(&error)
        })
    }
}

async fn pass(from: Option<impl AsyncRead + Unpin>, mut to: impl Write) -> io::Result<()> {
    let Some(mut from) = from else { return Ok(()) };
    let mut buffer = vec![0; BUFFER];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return to.flush();
        }
        to.write_all(&buffer[..read])?;
        to.flush()?;
    }
}

/// How a program ended, from the API's status, in which the exit status is the text of a cause (k8s.io/apimachinery:
/// pkg/util/remotecommand/constants.go).
fn end(status: Option<&Status>) -> End {
    let Some(status) = status else { return End::Lost };
    if status.status.as_deref() == Some("Success") {
        return End::Status(0);
    }
    let causes = status.details.iter().flat_map(|details| details.causes.iter().flatten());
    let mut codes = causes.filter(|cause| cause.reason.as_deref() == Some("ExitCode"));
    let code = codes.next().and_then(|cause| cause.message.as_deref()?.parse().ok());
    match code {
        Some(code) => End::Status(code),
        None => End::NotStarted(status.message.clone().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{End, end};

    #[test]
    fn a_programs_status_is_told_from_a_failure_to_start_it() {
        let exit = json!({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "74"}]}});
        let table = [
            (json!({"status": "Success"}), End::Status(0)),
            (exit, End::Status(74)),
            (
                json!({"status": "Failure", "reason": "InternalError", "message": "no such file"}),
                End::NotStarted("no such file".into()),
            ),
        ];
        for (status, expected) in table {
            let status = serde_json::from_value(status).expect("a status");
            assert_eq!(end(Some(&status)), expected);
        }
        assert_eq!(end(None), End::Lost);
    }
}
