//! Requests about agents: the rules of numbers and PINs are applied here, so that whoever asks
//! reads what is wrong before anything is stored.
//!
//! ```text
//! {"request":"agent_add","number":"4711","name":"Ada","pin":"190472","extensions":["200"]}
//! {"request":"agent_list"}
//! {"request":"agent_disable","number":"4711"}
//! {"request":"agent_unlock","number":"4711"}
//! ```

use serde_json::{Value, json};

use super::request::{AgentWish, Answer, Format, NewAgent, Reply};
use super::table::Table;
use super::text::age;
use crate::menu::{check_number, check_pin};
use crate::node::AgentChange;
use crate::node::snapshot::{Agent, Lock};

/// Names and lists are for people: longer ones are mistakes.
const NAME_MAX: usize = 64;
/// Extensions of one agent.
const EXTENSIONS_MAX: usize = 16;

/// Agents promote another node, so a node alone has none.
pub const NO_AGENTS: &str = "this node keeps no agents: it is alone, without a [cluster]";

/// `portkeeper agent list`
pub(super) fn list(format: Format, agents: Option<&[Agent]>) -> Answer {
    let Some(agents) = agents else { return refused(NO_AGENTS) };
    let value = match format {
        Format::Json => json!(agents),
        Format::Text => Value::String(table(agents)),
    };
    Answer { reply: Reply::Ok(value), order: None, agent: None, role: None }
}

/// `portkeeper agent add`
pub(super) fn add(format: Format, agent: &NewAgent, agents: Option<&[Agent]>) -> Answer {
    let Some(agents) = agents else { return refused(NO_AGENTS) };
    if let Err(text) = check(agent) {
        return refused(&text);
    }
    let known = agents.iter().any(|known| known.number == agent.number);
    let text = if known {
        format!("agent {} is as it was given, with the new PIN", agent.number)
    } else {
        format!("agent {} is added", agent.number)
    };
    done(format, &agent.number, &text, AgentWish::Set(agent.clone()))
}

fn check(agent: &NewAgent) -> Result<(), String> {
    check_number(&agent.number).map_err(|fault| fault.to_string())?;
    let plain = |text: &str| !text.is_empty() && !text.contains(char::is_control);
    if !plain(&agent.name) || agent.name.chars().count() > NAME_MAX {
        return Err(format!("a name has 1 to {NAME_MAX} characters, and no control character"));
    }
    if agent.extensions.len() > EXTENSIONS_MAX {
        return Err(format!("an agent has at most {EXTENSIONS_MAX} extensions"));
    }
    if let Some(extension) = agent.extensions.iter().find(|&e| !plain(e) || e.len() > NAME_MAX) {
        return Err(format!("{extension:?} is no extension"));
    }
    if agent.callback && agent.extensions.is_empty() {
        return Err("an agent who is called back needs an extension".to_owned());
    }
    let pin = check_pin(agent.pin.reveal(), &agent.number, &agent.extensions);
    pin.map_err(|fault| format!("{fault}; choose another, or let one be made with --generate"))
}

/// `portkeeper agent disable`
pub(super) fn disable(format: Format, number: &str, agents: Option<&[Agent]>) -> Answer {
    let text = "may act no more; `portkeeper agent add` with a new PIN lets in again";
    let change = AgentChange::Disable { number: number.to_owned() };
    changed(format, number, text, change, agents)
}

/// `portkeeper agent unlock`
pub(super) fn unlock(format: Format, number: &str, agents: Option<&[Agent]>) -> Answer {
    let change = AgentChange::Unlock { number: number.to_owned() };
    changed(format, number, "has no lock", change, agents)
}

fn changed(
    format: Format,
    number: &str,
    text: &str,
    change: AgentChange,
    agents: Option<&[Agent]>,
) -> Answer {
    let Some(agents) = agents else { return refused(NO_AGENTS) };
    if !agents.iter().any(|agent| agent.number == number) {
        return refused(&format!("no agent {number}; `portkeeper agent list` shows them"));
    }
    done(format, number, &format!("agent {number} {text}"), AgentWish::Change(change))
}

fn done(format: Format, number: &str, text: &str, wish: AgentWish) -> Answer {
    let value = match format {
        Format::Json => json!({ "agent": number, "text": text }),
        Format::Text => Value::String(text.to_owned()),
    };
    Answer { reply: Reply::Ok(value), order: None, agent: Some(wish), role: None }
}

fn refused(text: &str) -> Answer {
    Answer { reply: Reply::Error(text.to_owned()), order: None, agent: None, role: None }
}

fn table(agents: &[Agent]) -> String {
    if agents.is_empty() {
        return "no agents; `portkeeper agent add` makes one\n".to_owned();
    }
    let columns = ["AGENT", "NAME", "STANDING", "EXTENSIONS", "CALL BACK", "#WRONG PINS"];
    let mut table = Table::new(&columns);
    for agent in agents {
        let extensions = match agent.extensions.join(", ") {
            all if all.is_empty() => "any internal".to_owned(),
            listed => listed,
        };
        table.row(vec![
            agent.number.clone(),
            agent.name.clone(),
            standing(agent),
            extensions,
            if agent.callback { "yes" } else { "no" }.to_owned(),
            agent.wrong_pins.to_string(),
        ]);
    }
    table.text()
}

fn standing(agent: &Agent) -> String {
    match agent.lock {
        _ if !agent.enabled => "disabled".to_owned(),
        None => "enabled".to_owned(),
        Some(Lock::For { ms }) => format!("locked for {}", age(ms)),
        Some(Lock::UntilUnlocked) => "locked until unlocked".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::snapshot;
    use crate::admin::{Request, answer};
    use crate::node::Snapshot;

    fn agents() -> Snapshot {
        let ada = Agent {
            number: "4711".to_owned(),
            name: "Ada".to_owned(),
            enabled: true,
            extensions: vec!["200".to_owned(), "201".to_owned()],
            callback: true,
            wrong_pins: 5,
            lock: Some(Lock::For { ms: 1_740_000 }),
        };
        let (number, name) = ("4712".to_owned(), "Grace".to_owned());
        let grace = Agent {
            number,
            name,
            extensions: Vec::new(),
            callback: false,
            wrong_pins: 0,
            lock: None,
            ..ada.clone()
        };
        Snapshot { agents: Some(vec![ada, grace]), ..snapshot() }
    }

    fn new() -> NewAgent {
        NewAgent {
            number: "4713".to_owned(),
            name: "Edsger".to_owned(),
            pin: "190472".to_owned().into(),
            extensions: vec!["202".to_owned()],
            callback: false,
        }
    }

    fn asked(request: &Request) -> Result<(Value, Option<AgentWish>), String> {
        let answer = answer(request, &agents());
        match answer.reply {
            Reply::Ok(value) => Ok((value, answer.agent)),
            Reply::Error(text) => {
                assert_eq!(answer.agent, None, "what is refused changes nothing");
                Err(text)
            }
        }
    }

    fn add(agent: NewAgent) -> Result<(Value, Option<AgentWish>), String> {
        asked(&Request::AgentAdd { agent, format: Format::Text })
    }

    #[test]
    fn the_list_shows_standing_and_locks_and_no_secret() {
        let (text, _) = asked(&Request::AgentList { format: Format::Text }).expect("shown");
        assert_eq!(
            text.as_str().expect("text"),
            "AGENT  NAME   STANDING          EXTENSIONS    CALL BACK  WRONG PINS\n\
             4711   Ada    locked for 29m0s  200, 201      yes                 5\n\
             4712   Grace  enabled           any internal  no                  0\n"
        );
        let (json, _) = asked(&Request::AgentList { format: Format::Json }).expect("shown");
        assert_eq!(json[0]["lock"]["for"]["ms"], 1_740_000);
        assert_eq!(json[1]["lock"], Value::Null);
        assert!(!json.to_string().contains("hash"));
    }

    #[test]
    fn an_agent_is_added_or_given_a_new_pin() {
        let (text, wish) = add(new()).expect("good");
        assert_eq!(text, "agent 4713 is added");
        assert_eq!(wish, Some(AgentWish::Set(new())));
        let again = NewAgent { number: "4711".to_owned(), ..new() };
        let (text, _) = add(again).expect("good");
        assert_eq!(text, "agent 4711 is as it was given, with the new PIN");
    }

    #[test]
    fn what_is_wrong_with_an_agent_is_said_and_nothing_is_stored() {
        let pin = |pin: &str| NewAgent { pin: pin.to_owned().into(), ..new() };
        let said = |agent| add(agent).expect_err("wrong");
        assert!(said(pin("123456")).starts_with("the PIN runs up or down"));
        assert!(said(pin("120299")).starts_with("the PIN holds the agent's number or extension"));
        assert!(said(pin("12345")).contains("6 to 12 digits; choose another, or let one be made"));
        assert!(said(NewAgent { number: "12".to_owned(), ..new() }).contains("3 to 10 digits"));
        assert!(said(NewAgent { name: String::new(), ..new() }).contains("1 to 64 characters"));
        assert!(said(NewAgent { name: "a\nb".to_owned(), ..new() }).contains("control"));
        let nowhere = NewAgent { extensions: Vec::new(), callback: true, ..new() };
        assert!(said(nowhere).contains("needs an extension"));
        let many = NewAgent { extensions: vec!["200".to_owned(); 17], ..new() };
        assert!(said(many).contains("at most 16 extensions"));
    }

    #[test]
    fn an_agent_is_disabled_and_unlocked_by_number() {
        let format = Format::Text;
        let number = "4711".to_owned();
        let (_, wish) =
            asked(&Request::AgentDisable { number: number.clone(), format }).expect("there");
        let disable = AgentChange::Disable { number: number.clone() };
        assert_eq!(wish, Some(AgentWish::Change(disable)));
        let (text, wish) =
            asked(&Request::AgentUnlock { number: number.clone(), format }).expect("there");
        assert_eq!(text, "agent 4711 has no lock");
        assert_eq!(wish, Some(AgentWish::Change(AgentChange::Unlock { number })));
        let nobody = Request::AgentUnlock { number: "1".to_owned(), format };
        assert!(asked(&nobody).expect_err("nobody").contains("no agent 1"));
    }

    #[test]
    fn a_node_alone_says_so() {
        let requests = [
            Request::AgentList { format: Format::Text },
            Request::AgentAdd { agent: new(), format: Format::Text },
            Request::AgentUnlock { number: "4711".to_owned(), format: Format::Text },
        ];
        for request in requests {
            assert_eq!(answer(&request, &snapshot()).reply, Reply::Error(NO_AGENTS.to_owned()));
        }
    }

    #[test]
    fn a_pin_is_read_from_the_wire_and_never_shown() {
        let line = r#"{"request":"agent_add","number":"4713","name":"Edsger","pin":"190472"}"#;
        let request: Request = serde_json::from_str(line).expect("valid");
        assert!(!format!("{request:?}").contains("190472"));
        let Request::AgentAdd { agent, .. } = request else { panic!("another") };
        assert_eq!(agent.pin.reveal(), "190472");
        assert_eq!((agent.extensions.len(), agent.callback), (0, false));
    }
}
