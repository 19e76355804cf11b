//! `sidecar`: an attempt whose only step follows another container's log.

use super::run::attempt;
use crate::attempt::outcome::Failure;
use crate::cli;
use crate::exit::Kind;
use crate::hook::{layer::Layer, log_target::LogTarget, spec::Hook};
use crate::kubernetes::{Access, Follow, Pace};

pub(super) fn run_sidecar(sidecar: cli::Sidecar) -> u8 {
    attempt(sidecar.termination.log.as_deref(), || {
        let access = Access::from_environment(sidecar.service_account.as_deref(), sidecar.ca_file.as_deref())
            .map_err(|error| Failure::new(Kind::Config, error.to_string()))?;
        let follow = Follow { container: sidecar.container.0, access, pace: Pace::default() };
        let layer = Layer {
            log: Some(LogTarget::File(sidecar.log)),
            state: sidecar.state,
            run_id: sidecar.run_id,
            grace: sidecar.grace,
            timeout: sidecar.timeout,
            termination_log: sidecar.termination.log.clone(),
            ..Layer::default()
        };
        Hook::of_sidecar(layer, follow).map_err(|error| Failure::new(Kind::Config, error.to_string()))
    })
}
