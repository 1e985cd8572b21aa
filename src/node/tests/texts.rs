//! Texts to telephones, where the site wants them.

use std::collections::BTreeMap;

use super::cluster::{A, Trio, W};
use super::menu::{bereft_with, call, key, log_in, witness};
use super::pbx::header;
use super::*;

const TEXTS: &str = "text_to = [\"2001\", \"2009\"]\n";

/// To whom the witness sends texts, with the whole requests; each is new but for its repetitions.
fn texts(trio: &Trio) -> BTreeMap<String, String> {
    let messages = trio.made[W].sip.iter().filter(|text| text.starts_with("MESSAGE sip:"));
    messages.map(|text| (header(text, "Call-ID")[0].to_owned(), text.clone())).collect()
}

fn readers(trio: &Trio) -> Vec<String> {
    let mut readers: Vec<_> = texts(trio)
        .values()
        .map(|text| text["MESSAGE sip:".len()..].split('@').next().unwrap_or("").to_owned())
        .collect();
    readers.sort();
    readers
}

fn answer_all(trio: &mut Trio, status: &str) {
    for message in texts(trio).into_values() {
        let made = witness(trio).reply(&message, status);
        trio.deliver(W, made);
    }
}

fn refusals(trio: &Trio) -> usize {
    let alarms = trio.nodes[W].as_ref().expect("alive").node.alarms(trio.now);
    alarms.iter().filter(|alarm| alarm.kind.to_string().contains("to a text (MESSAGE)")).count()
}

#[test]
fn everybody_of_the_list_gets_one_text_of_an_incident_from_one_node() {
    let mut trio = Trio::with("auto", "", TEXTS);
    trio.run(Duration::from_secs(5));
    trio.made[W] = Made::default();
    trio.kill(A);
    trio.run(Duration::from_secs(2));
    assert_eq!(readers(&trio), ["2001", "2009"]);
    assert!(texts(&trio).values().all(|text| text.contains("the primary a is down")));
    answer_all(&mut trio, "200 OK");
    trio.run(Duration::from_secs(60));
    assert_eq!((readers(&trio).len(), refusals(&trio)), (2, 0));
}

#[test]
fn a_pbx_that_takes_no_text_is_one_alarm_and_gets_no_other() {
    let mut trio = Trio::with("auto", "", TEXTS);
    trio.run(Duration::from_secs(5));
    trio.made[W] = Made::default();
    trio.kill(A);
    trio.run(Duration::from_secs(2));
    answer_all(&mut trio, "405 Method Not Allowed");
    assert_eq!(refusals(&trio), 1);
    trio.made[W] = Made::default();
    let bench = witness(&mut trio);
    bench.node.text_incident(bench.now, "something else");
    trio.carry(W);
    assert_eq!((readers(&trio).len(), refusals(&trio)), (0, 1));
}

#[test]
fn a_telephone_reads_that_the_system_restarts_and_is_called_when_it_cannot() {
    for (status, called) in [("200 OK", "2002"), ("480 Temporarily Unavailable", "2001")] {
        let mut trio = bereft_with("text_to = [\"2001\"]\n");
        answer_all(&mut trio, "200 OK");
        call(&mut trio);
        log_in(&mut trio, true);
        trio.made[W] = Made::default();
        key(&mut trio, "44", false);
        assert_eq!(readers(&trio), ["2001"]);
        assert!(texts(&trio).values().all(|text| text.contains("is being restarted")));
        answer_all(&mut trio, status);
        let waiting = &witness(&mut trio).node.controls.to_place;
        let waits = waiting.iter().any(|(number, ..)| number == "2001");
        assert_eq!(waits, called == "2001", "{status}");
    }
}
