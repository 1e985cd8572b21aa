//! Programs that a node starts when it is promoted: one after the other, each when the one before
//! is ready, that is when an instance of its application is connected and healthy. One that fails
//! is told of and does not hold up the others: calls go to whoever serves them.

use tracing::info;

use crate::config::ClusterProfile;
use crate::node::snapshot::AlarmKind;
use crate::node::{Node, Output};
use crate::timers::Instant;

/// The program that is waited for.
#[derive(Clone, Copy, Debug)]
pub(in crate::node) struct Starting {
    index: usize,
    give_up_at: Instant,
}

impl Node {
    /// This node was promoted.
    pub(super) fn start_programs(&mut self, now: Instant) {
        if self.config.cluster.profile != ClusterProfile::Single {
            self.start_program(now, 0);
        }
    }

    /// This node is primary no more: what it started ends.
    pub(super) fn stop_programs(&mut self) {
        self.starting = None;
        if !self.config.autostart.is_empty() {
            self.outputs.push_back(Output::StopPrograms);
        }
    }

    fn start_program(&mut self, now: Instant, index: usize) {
        self.starting = None;
        let Some(program) = self.config.autostart.get(index) else { return };
        info!(application = program.application, index, "starting a program");
        self.starting = Some(Starting { index, give_up_at: now + program.ready_within });
        self.outputs.push_back(Output::StartProgram { index });
        self.programs_due(now);
    }

    /// A program could not be started, or has ended.
    pub(in crate::node) fn program_failed(&mut self, now: Instant, index: usize, why: &str) {
        let Some(program) = self.config.autostart.get(index) else { return };
        let name = program.command.first().map_or("", String::as_str);
        let text = format!("autostart_on_promotion {name}: {why}");
        self.alarms.raise_passing(AlarmKind::Other { extension: None, text }, now);
        if self.starting.is_some_and(|starting| starting.index == index) {
            self.start_program(now, index + 1);
        }
    }

    /// Whether the program that is waited for is ready, or has taken too long.
    pub(in crate::node) fn programs_due(&mut self, now: Instant) {
        let Some(Starting { index, give_up_at }) = self.starting else { return };
        let Some(program) = self.config.clone().autostart.get(index).cloned() else { return };
        if self.serves(&program.application) {
            self.start_program(now, index + 1);
        } else if now >= give_up_at {
            let why = format!(
                "no instance of {} is connected after {} s; the next program is started",
                program.application,
                program.ready_within.as_secs()
            );
            self.program_failed(now, index, &why);
        }
    }

    pub(in crate::node) fn programs_timeout(&self) -> Option<Instant> {
        self.starting.map(|starting| starting.give_up_at)
    }
}
