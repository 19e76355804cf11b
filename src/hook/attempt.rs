//! One attempt of a hook: open, run the steps in order, seal, summarise. The only place that joins the copy
//! engine, the command and the log.

mod ending;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use self::ending::LAST_WORDS;
use super::exec::{self, Exec};
use super::identity::Identity;
use super::opening::{Opened, Opening, Plan};
use super::spec::Hook;
use super::steps::Step;
use super::summary::{Failure, Outcome, StepReport, milliseconds};
use super::wait::{self, NotMet, Wait};
use super::{copying, failures, following};
use crate::aside;
use crate::copy;
use crate::diagnostics::{Clean, Diagnostics};
use crate::exit::Kind;
use crate::output::{self, MaxLog, Options, Redactor, Sources, Tee};
use crate::process::{Command, Supervisor, within_pod_grace};
use crate::sidecar::Follow;
use crate::store::StoreError;

/// Runs an attempt of `hook` to its end, and goes on with `end`, which ends the program. Everything that can go wrong is
/// in the outcome.
pub fn run(
    hook: &'static Hook,
    supervisor: Supervisor,
    end: impl FnOnce(&Hook, &Outcome) -> Infallible + Send + 'static,
) -> ! {
    let began = Instant::now();
    let mut identity = Identity::from_environment(hook.run_id.as_deref());
    let group = identity.run.clone();
    if let Some(shard) = hook.shard() {
        // Each share has a log of its own, and is read back on its own.
        identity.run = format!("{group}.shard-{}", shard.index);
    }
    let log = hook.log.as_ref().map(|path| path.display().to_string());
    let mut attempt = Attempt {
        hook,
        supervisor,
        outcome: Outcome::new(identity, log),
        deadline: hook.timeout.and_then(|timeout| began.checked_add(timeout)),
        grace: within_pod_grace(hook.grace, hook.drain, hook.pod_grace),
        group,
        redactor: None,
        tee: None,
        opened: None,
        diagnostics: None,
    };
    let plan = attempt.plan();
    let next = move |opening| attempt.run_to_end(began, opening, end);
    match plan {
        Ok(Some(plan)) => Opening::begin(plan, |opening| next(opening.map(Some).map_err(failures::open))),
        Ok(None) => match next(Ok(None)) {},
        Err(failure) => match next(Err(failure)) {},
    }
}

struct Attempt {
    hook: &'static Hook,
    supervisor: Supervisor,
    outcome: Outcome,
    deadline: Option<Instant>,
    grace: Duration,
    /// The run's id without the share's number.
    group: String,
    redactor: Option<Redactor>,
    tee: Option<Tee>,
    opened: Option<Arc<Opened>>,
    diagnostics: Option<Diagnostics>,
}

impl Attempt {
    fn run_to_end(
        mut self,
        began: Instant,
        opening: Result<Option<Opening>, Failure>,
        end: impl FnOnce(&Hook, &Outcome) -> Infallible + Send + 'static,
    ) -> Infallible {
        // Signals and a few sockets: a long list of events would be memory between what is used.
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = match runtime.enable_io().enable_time().max_io_events_per_tick(16).build() {
            Ok(runtime) => runtime,
            Err(error) => {
                self.outcome.fail(failures::fault(error));
                return end(self.hook, &self.outcome);
            }
        };
        let (closed, log) = runtime.block_on(async {
            Box::pin(self.run(opening)).await;
            self.outcome.duration_ms = milliseconds(began.elapsed());
            self.clean_outcome();
            self.close().await
        });
        let next = move |sealing| {
            runtime.block_on(async {
                self.seal(closed, sealing).await;
                self.clean_outcome();
                self.outcome.duration_ms = milliseconds(began.elapsed());
            });
            end(self.hook, &self.outcome)
        };
        match log {
            Some((tee, closing)) => tee.seal(closing, |tee, sealing| next(Some((tee, sealing)))),
            None => next(None),
        }
    }

    async fn run(&mut self, opening: Result<Option<Opening>, Failure>) {
        if let Err(failure) = self.open(opening).await {
            self.outcome.fail(failure);
            return;
        }
        for step in &self.hook.steps {
            let began = Instant::now();
            tracing::info!(step = self.clean(&step.to_string()), "step begins");
            let result = Box::pin(self.step(step)).await;
            let text = result.as_ref().unwrap_or_else(|failure| &failure.message);
            let report = StepReport {
                step: self.clean(&step.to_string()),
                result: self.clean(text),
                duration_ms: milliseconds(began.elapsed()),
            };
            tracing::info!(result = report.result, duration_ms = report.duration_ms, "step ended");
            self.outcome.steps.push(report);
            if let Err(failure) = result {
                self.outcome.fail(failure);
                return;
            }
        }
        // What the command changed is the volume's content too: durable, then recorded as the run left it.
        if let Err(failure) = self.settle().await {
            self.outcome.fail(failure);
        }
    }

    /// What must not be seen is known before anything is written; then what is to be opened, if there is a log.
    fn plan(&mut self) -> Result<Option<Plan>, Failure> {
        self.redactor = self.redactor()?;
        let Some(path) = &self.hook.log else { return Ok(None) };
        Ok(Some(Plan {
            log: path.clone(),
            shared: self.hook.shard().is_some(),
            state: self.hook.state.clone(),
            log_mode: self.hook.log_mode,
            lock_timeout: self.hook.lock_timeout,
            keep: self.hook.keep,
            identity: self.outcome.identity.clone(),
            rows: self.header_rows(),
            cancel: self.supervisor.stop_token().child_token(),
        }))
    }

    /// Lock, log, header; then the tee is ready for the steps.
    async fn open(&mut self, opening: Result<Option<Opening>, Failure>) -> Result<(), Failure> {
        let mut log = None;
        let mut given_up = None;
        if let Some(opening) = opening? {
            self.supervisor.prepare();
            let cancel = opening.cancel();
            let mut opening = pin!(opening.finish());
            let opened = match self.limited(opening.as_mut()).await {
                Ok(opened) => opened,
                Err(failure) => {
                    // It may be open in this very moment: then it is ended like any other.
                    cancel.cancel();
                    let last = tokio::time::timeout(LAST_WORDS, opening);
                    let Ok(Ok(Ok(opened))) = self.supervisor.attend(last).await else { return Err(failure) };
                    given_up = Some(failure);
                    Ok(opened)
                }
            };
            let (opened, file) = opened.map_err(failures::open)?;
            let volume = Arc::clone(&opened);
            let clean = self
                .redactor
                .clone()
                .map(|redactor| -> Clean { Box::new(move |line| redactor.redact(line)) });
            self.diagnostics = Some(Diagnostics::start(move || volume.diary(), clean));
            self.outcome.attempt = opened.attempt;
            tracing::info!(run = self.outcome.identity.run, attempt = opened.attempt, log = %opened.volume.log_path.display(), "attempt opened");
            self.outcome.warnings.extend(opened.warnings.iter().cloned());
            self.opened = Some(opened);
            log = Some(file);
        }
        if log.is_none() && self.redactor.is_none() {
            return Ok(());
        }
        let output = self.hook.output;
        let options = Options {
            log,
            split_streams: output.split_streams,
            timestamps: output.timestamps,
            annotate: output.annotate,
            max_log: self.max_log()?,
            redact: self.redactor.clone(),
        };
        let house = self.opened.clone();
        let chores = move || house.iter().for_each(|opened| opened.keep_house());
        let tee = Tee::start(options, chores)
            .map_err(|error| Failure::new(Kind::Io, format!("cannot start the tee: {error}")))?;
        self.tee = Some(tee);
        given_up.map_or(Ok(()), Err)
    }

    /// What must not be seen. A secret that cannot be read is the hook's fault: going on would publish it.
    fn redactor(&mut self) -> Result<Option<Redactor>, Failure> {
        let redact = &self.hook.redact;
        let sources = Sources {
            env: redact.env.iter().map(OsString::from).collect(),
            files: redact.files.clone(),
            literals: redact.literals.iter().map(OsString::from).collect(),
        };
        let (secrets, warnings) = sources.read().map_err(|error| {
            Failure::new(Kind::Config, error.to_string()).advise("mount the Secret there, or correct redact")
        })?;
        self.outcome.warnings.extend(warnings);
        Ok(Redactor::new(&secrets))
    }

    fn max_log(&self) -> Result<Option<MaxLog>, Failure> {
        let (Some(bytes), Some(opened)) = (self.hook.output.max_log, &self.opened) else { return Ok(None) };
        let volume = &opened.volume;
        let directory = volume.state.reopen().map_err(StoreError::at("open", &volume.state_path));
        let directory = File::from(directory.map_err(|error| failures::store(&error))?.into_fd());
        Ok(Some(MaxLog { bytes, directory, log_name: volume.log_name.clone() }))
    }

    /// `text` without the secrets: the runner's own words may hold some, a command's arguments above all.
    fn clean(&self, text: &str) -> String {
        match &self.redactor {
            Some(redactor) => String::from_utf8_lossy(&redactor.redact(text.as_bytes())).into_owned(),
            None => text.to_owned(),
        }
    }

    /// Failures and warnings come from everywhere: names of files and what the system said about them.
    fn clean_outcome(&mut self) {
        let Some(redactor) = &self.redactor else { return };
        let outcome = &mut self.outcome;
        let failure =
            outcome.failure.iter_mut().flat_map(|failure| [&mut failure.message, &mut failure.advice]);
        for text in failure.chain(&mut outcome.warnings) {
            *text = String::from_utf8_lossy(&redactor.redact(text.as_bytes())).into_owned();
        }
    }

    fn header_rows(&self) -> Vec<(&'static str, String)> {
        let hook = self.hook;
        let steps: Vec<String> = hook
            .steps
            .iter()
            .enumerate()
            .map(|(at, step)| self.clean(&format!("{}. {step}", at + 1)))
            .collect();
        let time = |time: Duration| humantime::format_duration(time).to_string().replace(' ', "");
        let timeout = hook.timeout.map_or("none".into(), time);
        vec![
            ("steps", steps.join("\n")),
            ("limits", format!("timeout {timeout}, grace {}", time(self.grace))),
        ]
    }

    async fn step(&mut self, step: &Step) -> Result<String, Failure> {
        if self.supervisor.stop_requested() {
            return Err(failures::stopped("before this step"));
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
                failures::exec(outcome, &name, *timeout, self.hook.timeout)
            }
        }
    }

    async fn copy(&mut self, from: &Path, to: &Path, options: &copy::Options) -> Result<String, Failure> {
        let request = self.request(from, to, options);
        let label = format!("{} -> {}", from.display(), to.display());
        let cancel = self.supervisor.stop_token().child_token();
        let engine = cancel.clone();
        let patience = self.hook.lock_timeout;
        let work = aside::once(move || {
            let _turn = copying::take_turn(&request, patience, &engine)?;
            let progress = copy::Stderr::new(label, output::say);
            copy::copy(&request, &progress, &engine).map_err(|error| failures::copy(&error))
        });
        match self.cancellable(work, &cancel).await?.map_err(failures::fault)? {
            Ok(report) => {
                self.outcome.files_copied += report.files;
                self.outcome.warnings.extend(report.warnings());
                Ok(report.summary())
            }
            Err(_) if self.supervisor.stop_requested() => Err(failures::stopped("during the copy")),
            Err(_) if self.late() => Err(self.timed_out("the copy was not finished")),
            Err(failure) => Err(failure),
        }
    }

    fn request(&self, from: &Path, to: &Path, options: &copy::Options) -> copy::Request {
        let state = match &self.opened {
            Some(opened) => opened.volume.state_path.clone(),
            None => self.hook.state.clone().unwrap_or_else(|| to.join(crate::store::STATE_DIRECTORY)),
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
                Err(failures::stopped("during the wait"))
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
        let work = Box::pin(following::run(follow, pipe, opened));
        self.cancellable(work, &cancel).await?
    }

    /// Runs `work` while signals are read. At the attempt's deadline `cancel` is cancelled, and work that does
    /// not end then within the grace is given up.
    async fn cancellable<F: Future>(
        &mut self,
        work: F,
        cancel: &CancellationToken,
    ) -> Result<F::Output, Failure> {
        let (deadline, grace) = (self.deadline, self.grace);
        let stop = cancel.clone();
        let limited = async move {
            tokio::pin!(work);
            let at_deadline = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                output = &mut work => return Some(output),
                () = at_deadline => stop.cancel(),
                () = stop.cancelled() => {}
            }
            tokio::time::timeout(grace, work).await.ok()
        };
        match self.supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if self.supervisor.stop_requested() => {
                Err(failures::stopped("during a step that did not end in its grace"))
            }
            Ok(None) => Err(self.timed_out("the volume does not answer")),
            Err(_) => Err(failures::stopped("by a second signal")),
        }
    }

    /// As [`Attempt::cancellable`], for work that has no token and may simply be dropped.
    async fn limited<F: Future>(&mut self, work: F) -> Result<F::Output, Failure> {
        let stop = self.supervisor.stop_token();
        let deadline = self.deadline;
        let limited = async move {
            tokio::select! {
                output = work => Some(output),
                () = stop.cancelled() => None,
                () = async {
                    match deadline {
                        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                        None => std::future::pending().await,
                    }
                } => None,
            }
        };
        match self.supervisor.attend(limited).await {
            Ok(Some(output)) => Ok(output),
            Ok(None) if self.late() => Err(self.timed_out("the volume was not opened")),
            _ => Err(failures::stopped("before the first step")),
        }
    }

    fn late(&self) -> bool {
        self.deadline.is_some_and(|deadline| Instant::now() >= deadline)
    }

    fn timed_out(&self, what: &str) -> Failure {
        failures::timed_out(self.hook.timeout, what)
    }
}

/// Writes the summary's JSON where the kubelet looks for it. Its failure is nobody's: the status stands.
pub fn termination_message(outcome: &Outcome, path: Option<&Path>) {
    use std::io::Write as _;
    // The default file is the kubelet's to make; outside a pod none appears in /dev.
    let (path, create) = path.map_or((Path::new("/dev/termination-log"), false), |path| (path, true));
    let opened = std::fs::OpenOptions::new().write(true).create(create).truncate(true).open(path);
    if let Ok(mut file) = opened {
        let _ = file.write_all(outcome.json(super::summary::TERMINATION_MESSAGE_LIMIT).as_bytes());
    }
}
