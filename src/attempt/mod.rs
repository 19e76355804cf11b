//! One attempt of a hook: open, run the steps in order, seal, summarise.

mod finish;
mod limits;
pub mod messages;
pub mod open;
pub mod outcome;
mod steps;

use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::finish::LAST_WORDS;
use crate::attempt::open::{Opened, Opening, Plan};
use crate::attempt::outcome::{Failure, Outcome, StepReport, milliseconds};
use crate::diagnostics::{Clean, Diagnostics};
use crate::exit::Kind;
use crate::hook::identity::Identity;
use crate::hook::spec::Hook;
use crate::output::{MaxLog, Options, Redactor, Sources, Tee};
use crate::process::{Supervisor, within_pod_grace};
use crate::volume::VolumeError;

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
        Ok(Some(plan)) => Opening::begin(plan, |opening| next(opening.map(Some).map_err(messages::open))),
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
                self.outcome.fail(messages::fault(error));
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
            let (opened, file) = opened.map_err(messages::open)?;
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
        let directory = volume.state.reopen().map_err(VolumeError::at("open", &volume.state_path));
        let directory = File::from(directory.map_err(|error| messages::store(&error))?.into_fd());
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
}
