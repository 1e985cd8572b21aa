//! What clients and authors are told, and what the gateway says about itself.

use serde_json::json;

use super::*;

const HEAD: &str = "channels/000000aa-1.1";

#[test]
fn global_variables_are_the_nodes() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("GET", "asterisk/variable?variable=G").1["value"], "");
    assert_eq!(bench.status("POST", "asterisk/variable?variable=G&value=1"), 204);
    assert_eq!(bench.ask("GET", "asterisk/variable?variable=G").1["value"], "1");
    assert_eq!(bench.status("GET", "asterisk/variable"), 400);
}

#[test]
fn info_is_cut_to_what_was_asked() {
    let mut bench = Bench::new();
    let (_, info, _) = bench.ask("GET", "asterisk/info?only=system,status");
    let keys: Vec<_> = info.as_object().expect("an object").keys().collect();
    assert_eq!(keys, ["status", "system"]);
    assert_eq!(bench.status("GET", "asterisk/info?only=secrets"), 400);
}

#[test]
fn subscriptions_do_nothing_and_say_so_with_200() {
    let mut bench = Bench::with_call();
    let path = "applications/main/subscription";
    for method in ["POST", "DELETE"] {
        let (status, body, _) = bench.ask(method, &format!("{path}?eventSource=channel:x"));
        assert_eq!((status, &body["channel_ids"][0]), (200, &"000000aa-1.1".into()));
    }
    assert_eq!(
        (bench.status("POST", path), bench.status("POST", &format!("{path}?eventSource=x"))),
        (400, 400)
    );
    assert_eq!(bench.status("POST", "applications/nope/subscription?eventSource=channel:x"), 404);
}

#[test]
fn what_this_gateway_has_not_is_empty_or_404() {
    let mut bench = Bench::new();
    for path in ["bridges", "endpoints", "endpoints/SIP"] {
        let (status, body, _) = bench.ask("GET", path);
        assert_eq!((status, body), (200, json!([])), "{path}");
    }
    for path in ["bridges/x", "endpoints/SIP/1", "mailboxes", "deviceStates", "sounds"] {
        assert_eq!(bench.status("GET", path), 404, "{path}");
    }
}

#[test]
fn descriptions_name_the_host_as_the_client_did() {
    let mut bench = Bench::new();
    let (_, listing, _) = bench.ask("GET", "api-docs/resources.json");
    assert_eq!(
        (&listing["basePath"], &listing["apiVersion"]),
        (&"http://gw.example:8088/ari".into(), &"8.0.0".into())
    );
    for api in listing["apis"].as_array().expect("a list") {
        let path = api["path"].as_str().expect("a path").replace("{format}", "json");
        let (status, description, _) = bench.ask("GET", &path[1..]);
        assert_eq!((status, &description["resourcePath"]), (200, &api["path"]));
        assert!(!description["apis"].as_array().expect("a list").is_empty(), "{path}");
    }
    assert_eq!(bench.status("GET", "api-docs/mailboxes.json"), 404);
}

#[test]
fn every_model_that_a_description_refers_to_is_described() {
    use super::super::docs::{models::MODELS, table::ROUTES};
    let named = ROUTES.iter().map(|r| r.returns);
    let inside = MODELS.iter().flat_map(|m| m.fields).map(|f| f.kind);
    let simple = ["void", "string", "int", "long", "boolean", "Date", "object"];
    for kind in named.chain(inside) {
        let kind = kind.strip_prefix("List[").map_or(kind, |k| k.trim_end_matches(']'));
        assert!(simple.contains(&kind) || MODELS.iter().any(|m| m.id == kind), "{kind}");
    }
}

#[test]
fn the_guide_for_authors_names_every_route_event_and_variable() {
    use super::super::docs::models::{MODELS, Shape};
    use super::super::docs::table::ROUTES;
    let guide = include_str!("../../../docs/ARI.md");
    let rows: Vec<_> = guide.lines().filter(|line| line.starts_with('|')).collect();
    for route in ROUTES {
        let path = format!("`{}`", route.path);
        let described = |row: &&&str| {
            row.contains(&path) && row.split('`').next().unwrap_or("").contains(route.method)
        };
        let row = rows.iter().find(described);
        let row = row.unwrap_or_else(|| panic!("{} {path}", route.method));
        for param in route.params.iter().filter(|p| p.required) {
            assert!(
                row.contains(&format!("**{}**", param.name)) || row.contains("as POST"),
                "{path}"
            );
        }
    }
    let events = MODELS.iter().filter(|m| m.shape == Shape::Event && m.id != "Event");
    let gateway =
        ["GW_CALL", "GW_GENERATION", "GW_REASON", "GW_CHECKPOINT", "GW_ACK", "GW_BARGE_IN"];
    for name in events.map(|m| m.id).chain(gateway) {
        assert!(rows.iter().any(|row| row.contains(&format!("`{name}`"))), "{name}");
    }
}

#[test]
fn requests_are_counted_by_status_and_events_by_number() {
    let mut bench = Bench::with_call();
    bench.status("GET", HEAD);
    bench.status("GET", "nowhere");
    let counters = bench.ivr.counters();
    assert_eq!(counters.requests, BTreeMap::from([(101, 2), (200, 1), (404, 1)]));
    assert_eq!((counters.events_sent, counters.events_unsent), (2, 0));
}
