//! How facts lie in a row: the fact as JSON, which is the truth, and beside it what is searched by.

use rusqlite::Row;
use rusqlite::types::Type;

use crate::ids::NodeId;
use crate::store::{Action, Body, Fact, Lane, Stream, Who};

/// Kinds of facts as the file has them.
pub(super) const AUDIT: i64 = 1;
pub(super) const CDR: i64 = 2;
pub(super) const AGENT: i64 = 3;
pub(super) const OUTAGE: i64 = 4;

/// Subject of what paused promotion, or let it go on; no agent's number is a word.
pub(super) const PAUSE: &str = "pause";
/// Of who serves from there on.
pub(super) const SERVE: &str = "serve";

/// The kind of a fact.
pub(super) const fn kind(body: &Body) -> i64 {
    match body {
        Body::Audit(_) => AUDIT,
        Body::Cdr(_) => CDR,
        Body::Agent(_) => AGENT,
        Body::Outage(_) => OUTAGE,
    }
}

/// Whom or what a fact is about, where somebody looks for it: the call of a CDR, the agent of a
/// login or an unlocking. What the last fact says has a subject of its own: whether promotion is
/// paused, and who serves.
pub(super) fn subject(body: &Body) -> Option<String> {
    match body {
        Body::Cdr(cdr) => Some(cdr.call.to_string()),
        Body::Agent(agent) => Some(agent.number.clone()),
        Body::Audit(audit) => match (&audit.action, &audit.who) {
            (Action::Login, Who::Agent { number, .. }) | (Action::Unlock { number }, _) => {
                Some(number.clone())
            }
            (Action::Pause(_), _) => Some(PAUSE.to_owned()),
            (Action::Serve { .. }, _) => Some(SERVE.to_owned()),
            _ => None,
        },
        Body::Outage(_) => None,
    }
}

/// A stream as the file has it.
pub(super) const fn stream(stream: Stream) -> i64 {
    match stream {
        Stream::Calls => 1,
        Stream::Control => 2,
    }
}

/// A lane from columns `node`, `boot` and `stream`, in this order from `first`.
pub(super) fn lane(row: &Row<'_>, first: usize) -> rusqlite::Result<Lane> {
    let stream = match row.get(first + 2)? {
        1 => Stream::Calls,
        2 => Stream::Control,
        other => return Err(rusqlite::Error::IntegralValueOutOfRange(first + 2, other)),
    };
    Ok(Lane { node: NodeId(row.get(first)?), boot: row.get(first + 1)?, stream })
}

/// A counter or a mark. They start at 1 and go up by one: none of them leaves the range.
pub(super) fn counter(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A number for the file. What is beyond its range is not looked for by number.
pub(super) fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A fact from its JSON.
pub(super) fn fact(row: &Row<'_>, column: usize) -> rusqlite::Result<Fact> {
    serde_json::from_str(row.get_ref(column)?.as_str()?).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Text, error.into())
    })
}
