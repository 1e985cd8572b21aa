//! Who is turned away over HTTP, and tokens whose day comes.
//!
//! Each is an alarm that names what to do, and one audit record as long as that stands: whoever
//! asks again and again must not fill the log.

use crate::config::Day;
use crate::node::snapshot::AlarmKind;
use crate::node::{Denial, Denied, Node};
use crate::store::{Action, Audit, Body, Who};
use crate::timers::Instant;

impl Node {
    /// Somebody was turned away.
    pub(in crate::node) fn denied(&mut self, now: Instant, denied: Denied) {
        let Denied { from, why } = denied;
        let text = alarm(&why);
        let kind = AlarmKind::Other { extension: None, text };
        if !self.alarms.raise_news(kind, now) {
            return;
        }
        let from = from.map_or("an unknown address".to_owned(), |from| from.to_string());
        let (name, action, result) = match why {
            Denial::Unknown => ("somebody at".to_owned(), Action::Login, "a wrong token"),
            Denial::Expired { token } => {
                (format!("token {token} from"), Action::Login, "the token has expired")
            }
            Denial::Role { token, request } => {
                let action = Action::Ask { request: request.to_owned() };
                (format!("token {token} from"), action, "not with this token")
            }
        };
        let who = Who::Operator(format!("{name} {from}"));
        self.append(now, Body::Audit(Audit { who, action, result: Err(result.to_owned()) }));
    }

    /// A token whose day is near, or past, is an alarm until the configuration has another one.
    pub(in crate::node) fn tokens_end(&mut self, now: Instant, unix_ms: u64) {
        let today = Day::of(unix_ms);
        let tokens = self.config.admin.tokens.iter();
        let ending = tokens.filter_map(|(name, token)| Some((name, token.ends_soon(today)?)));
        let texts: Vec<String> = ending
            .map(|(name, last)| {
                format!(
                    "token {name} is good until {last}, UTC, and then nobody may ask with it: make \
                     a new one and write it into [admin.tokens]"
                )
            })
            .collect();
        for text in texts {
            self.alarms.raise(AlarmKind::Other { extension: None, text }, now);
        }
    }
}

fn alarm(why: &Denial) -> String {
    match why {
        Denial::Unknown => "somebody shows a token over HTTP that is none of [admin.tokens]: the \
                            log says from where; give that client its token, or keep it away from \
                            the listener"
            .to_owned(),
        Denial::Expired { token } => format!(
            "somebody shows token {token} over HTTP, which has expired: the log says from where; \
             give that client a new one"
        ),
        Denial::Role { token, request } => format!(
            "somebody asks over HTTP for {request} with token {token}, whose role is not for that: \
             the log says from where; give that client another token, or take this one away"
        ),
    }
}
