//! What an attempt does in each kind of step: the only place that joins the copy engine, the command and the log.

use std::path::Path;

use super::Attempt;
use crate::attempt::messages;
use crate::attempt::outcome::Failure;
use crate::commands::copy as copying;
use crate::copy;
use crate::exit::Kind;
use crate::hook::steps::Step;
use crate::hook::wait::Wait;
use crate::kubernetes::Follow;
use crate::output;
use crate::process::Command;
use crate::steps::exec::{self, Exec};
use crate::steps::follow;
use crate::steps::wait::{self, NotMet};
use crate::support::blocking;
use crate::volume::STATE_DIRECTORY;

impl Attempt {
    pub(super) async fn step(&mut self, step: &Step) -> Result<String, Failure> {
        if self.supervisor.stop_requested() {
            return Err(messages::stopped("before this step"));
        }
        match step {
            Step::Copy { from, to, options } => self.copy(from, to, options).await,
            Step::Wait(wait) => self.wait(wait).await,
            Step::Follow(follow) => Box::pin(self.follow(follow)).await,
            Step::Exec { command, timeout, retries, backoff } => {
                let exec = Exec {
                    command: Command { argv: command.clone(), env: Vec::new(), setsid: self.hook.setsid },
                    timeout: *timeout,
                    deadline: self.deadline,
                    grace: self.grace,
                    drain: self.hook.drain,
                    retries: *retries,
                    backoff: *backoff,
                };
                let name = command.first().map(|name| name.display().to_string()).unwrap_or_default();
                let outcome = exec::run(&exec, &mut self.supervisor, self.tee.as_ref()).await;
                messages::exec(outcome, &name, *timeout, self.hook.timeout)
            }
        }
    }

    async fn copy(&mut self, from: &Path, to: &Path, options: &copy::Options) -> Result<String, Failure> {
        let request = self.request(from, to, options);
        let label = format!("{} -> {}", from.display(), to.display());
        let cancel = self.supervisor.stop_token().child_token();
        let engine = cancel.clone();
        let patience = self.hook.lock_timeout;
        let work = blocking::once(move || {
            let _turn = copying::take_turn(&request, patience, &engine)?;
            let progress = copy::Stderr::new(label, output::say);
            copy::copy(&request, &progress, &engine).map_err(|error| messages::copy(&error))
        });
        match self.cancellable(work, &cancel).await?.map_err(messages::fault)? {
            Ok(report) => {
                self.outcome.files_copied += report.files;
                self.outcome.warnings.extend(report.warnings());
                Ok(report.summary())
            }
            Err(_) if self.supervisor.stop_requested() => Err(messages::stopped("during the copy")),
            Err(_) if self.late() => Err(self.timed_out("the copy was not finished")),
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn request(&self, from: &Path, to: &Path, options: &copy::Options) -> copy::Request {
        let state = match &self.opened {
            Some(opened) => opened.volume.state_path.clone(),
            None => self.hook.state.clone().unwrap_or_else(|| to.join(STATE_DIRECTORY)),
        };
        let log = self.opened.as_ref().map(|opened| opened.volume.log_path.clone());
        copy::Request {
            source: from.to_path_buf(),
            destination: to.to_path_buf(),
            run: format!("{}.{}.{}", self.outcome.identity.run, self.outcome.attempt, std::process::id()),
            group: self.group.clone(),
            beside_run: false,
            steps_follow: true,
            protect: log.into_iter().chain([state.clone()]).collect(),
            state,
            options: options.clone(),
        }
    }

    async fn wait(&mut self, wait: &Wait) -> Result<String, Failure> {
        let cancel = self.supervisor.stop_token().child_token();
        let token = cancel.clone();
        match self.cancellable(wait::until(wait, &token), &cancel).await? {
            Ok(met) => Ok(format!("met: {}", met.observation)),
            Err(error @ NotMet::Roots { .. }) => {
                Err(Failure::new(Kind::Config, error.to_string()).advise(error.advice()))
            }
            Err(NotMet::Cancelled { .. }) if self.supervisor.stop_requested() => {
                Err(messages::stopped("during the wait"))
            }
            Err(error @ NotMet::Cancelled { .. }) => Err(self.timed_out(&error.to_string())),
            Err(error) => Err(Failure::new(Kind::WaitUnmet, error.to_string()).advise(error.advice())),
        }
    }

    async fn follow(&mut self, follow: &Follow) -> Result<String, Failure> {
        let (Some(tee), Some(opened)) = (&self.tee, self.opened.clone()) else {
            return Err(Failure::new(Kind::Config, "a sidecar without a log has nothing to do"));
        };
        let pipe = tee
            .attach()
            .map_err(|error| Failure::new(Kind::Io, format!("cannot make a pipe to the tee: {error}")))?;
        // Nothing is cancelled: the other container is told to stop at the same time, and its last lines are
        // worth the grace.
        let cancel = self.supervisor.stop_token().child_token();
        let work = Box::pin(follow::run(follow, pipe, opened));
        self.cancellable(work, &cancel).await?
    }
}
