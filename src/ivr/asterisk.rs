//! `/asterisk`: what clients ask to learn whom they talk to, and global variables.
//!
//! `entity_id` is the cluster's, the same on every node: one client library drops the events of a
//! channel whose `asterisk_id` differs from the one that it asked for at the start.

use super::channel::LANGUAGE;
use super::docs::routes::AsteriskOp;
use super::fault::{Fault, Outcome, Reply};
use super::machine::{Ask, Ivr};
use super::model::{BuildInfo, ConfigInfo, InfoView, PingView, SetId, StatusInfo, SystemInfo};
use super::model::{VariableView, json};
use super::variables::{self, VARIABLES_MAX};

impl Ivr {
    pub(super) fn asterisk_request(&mut self, op: AsteriskOp, ask: &Ask<'_>) -> Outcome {
        match op {
            AsteriskOp::Info => self.info(ask),
            AsteriskOp::Ping => Ok(self.pong(ask)),
            AsteriskOp::GetGlobal => {
                let name = ask.params.required("variable")?;
                let value = self.globals.get(name).map_or("", String::as_str);
                Ok(Reply::ok(json(&VariableView { value })))
            }
            AsteriskOp::SetGlobal => self.set_global(ask),
        }
    }

    fn pong(&self, ask: &Ask<'_>) -> Reply {
        let asterisk_id = &self.config.node.entity_id;
        let timestamp = self.out.timestamp(ask.now);
        Reply::ok(json(&PingView { timestamp, ping: "pong", asterisk_id }))
    }

    fn set_global(&mut self, ask: &Ask<'_>) -> Outcome {
        let name = ask.params.required("variable")?;
        let value = ask.params.raw("value").unwrap_or("");
        variables::check(name, value)?;
        if self.globals.len() >= VARIABLES_MAX && !self.globals.contains_key(name) {
            return Err(Fault::bad("More than 64 global variables"));
        }
        self.globals.insert(name.to_owned(), value.to_owned());
        Ok(Reply::done())
    }

    fn info(&self, ask: &Ask<'_>) -> Outcome {
        let only = ask.params.list("only");
        if only.iter().any(|part| !["build", "system", "config", "status"].contains(part)) {
            return Err(Fault::bad("Parameter only must be build, system, config or status"));
        }
        let wanted = |part| only.is_empty() || only.contains(&part);
        let node = &self.config.node;
        let info = InfoView {
            build: wanted("build").then_some(BuildInfo {
                os: std::env::consts::OS,
                kernel: "",
                options: "",
                machine: std::env::consts::ARCH,
                date: "",
                user: "",
            }),
            system: wanted("system").then_some(SystemInfo {
                version: concat!("portkeeper ", env!("CARGO_PKG_VERSION")),
                entity_id: &node.entity_id,
            }),
            config: wanted("config").then_some(ConfigInfo {
                name: &node.name,
                default_language: LANGUAGE,
                setid: SetId { user: "", group: "" },
            }),
            status: wanted("status").then_some(StatusInfo {
                startup_time: self.started,
                last_reload_time: self.started,
            }),
        };
        Ok(Reply::ok(json(&info)))
    }
}
