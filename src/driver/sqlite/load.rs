//! What a start reads: what was promised, how far each lane goes, and what agents follow from.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::types::Type;
use rusqlite::{Connection, Params};

use super::row::{self, AGENT, AUDIT, PAUSE, SERVE};
use crate::store::{AGENT_FAILURES_KEPT, Body, Fact, Lane, Loaded, Vote};

/// Audit facts of this time are loaded.
const RECENT_MS: u64 = 24 * 60 * 60 * 1_000;
/// The newest of them, if there are more: far beyond what locks an extension.
const RECENT_MAX: u32 = 10_000;

/// Reads it all.
pub(super) fn load(connection: &Connection, boot: u32, unix_ms: u64) -> rusqlite::Result<Loaded> {
    let (vote, marks) = (vote(connection)?, marks(connection)?);
    Ok(Loaded { boot, vote, marks, facts: facts(connection, unix_ms)? })
}

fn vote(connection: &Connection) -> rusqlite::Result<Vote> {
    connection.query_row("SELECT vote FROM node", [], |row| {
        serde_json::from_str(row.get_ref(0)?.as_str()?)
            .map_err(|error| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, error.into()))
    })
}

fn marks(connection: &Connection) -> rusqlite::Result<BTreeMap<Lane, u64>> {
    let mut statement = connection.prepare("SELECT node, boot, stream, mark FROM lane")?;
    let rows = statement.query_map([], |row| Ok((row::lane(row, 0)?, row::counter(row, 3)?)))?;
    rows.collect()
}

fn facts(connection: &Connection, unix_ms: u64) -> rusqlite::Result<Vec<Fact>> {
    let agents = select(connection, "kind = ?1", (AGENT,))?;
    let since = row::integer(unix_ms.saturating_sub(RECENT_MS));
    let newest = "kind = ?1 AND unix_ms >= ?2 ORDER BY unix_ms DESC LIMIT ?3";
    let mut facts = select(connection, newest, (AUDIT, since, RECENT_MAX))?;
    // What locks an agent stands until somebody unlocks it.
    let of_agent = "kind = ?1 AND subject = ?2 ORDER BY unix_ms DESC LIMIT ?3";
    let numbers: BTreeSet<&str> = agents.iter().filter_map(number).collect();
    for number in numbers {
        facts.extend(select(connection, of_agent, (AUDIT, number, AGENT_FAILURES_KEPT as i64))?);
    }
    // A pause lasts until somebody ends it, and so does it that a node serves.
    for last in [PAUSE, SERVE] {
        facts.extend(select(connection, of_agent, (AUDIT, last, 1))?);
    }
    facts.extend(agents);
    facts.sort_by_key(|fact| (fact.unix_ms, fact.id));
    facts.dedup_by_key(|fact| fact.id);
    // An agent is known before anything about it.
    facts.sort_by_key(|fact| !matches!(fact.body, Body::Agent(_)));
    Ok(facts)
}

fn number(fact: &Fact) -> Option<&str> {
    match &fact.body {
        Body::Agent(agent) => Some(&agent.number),
        Body::Audit(_) | Body::Cdr(_) | Body::Outage(_) => None,
    }
}

fn select(
    connection: &Connection,
    which: &str,
    parameters: impl Params,
) -> rusqlite::Result<Vec<Fact>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT fact FROM fact WHERE {which}"))?;
    let rows = statement.query_map(parameters, |row| row::fact(row, 0))?;
    rows.collect()
}
