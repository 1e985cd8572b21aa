//! The observation listener: `/metrics`, `/livez`, `/readyz`.

use portkeeper::stage::pbx::LineState;

use super::stand::{Wish, call, eventually, http, line_when, pbx};

#[test]
fn metrics_agree_with_status_and_end_as_openmetrics_does() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let _instance = stand.instance();
    let line = call(&pbx, 1, "6001");
    line_when(&pbx, line, LineState::Up);
    let (status, head, page) = http(stand.observe, "GET", "/metrics", "");
    assert_eq!(status, 200);
    assert!(head.contains("content-type: application/openmetrics-text"), "{head}");
    assert!(page.ends_with("# EOF\n"), "{page}");
    assert_eq!(stand.metric("portkeeper_registrations{state=\"registered\"}"), 2.0);
    assert_eq!(stand.metric("portkeeper_ports{state=\"bound\"}"), 1.0);
    assert_eq!(stand.metric("portkeeper_instances{health=\"healthy\"}"), 1.0);
    assert_eq!(stand.metric("portkeeper_calls_total"), 1.0);
    eventually("packets", || {
        (stand.metric("portkeeper_rtp_sent_packets_total") > 0.0).then_some(())
    });
    let registers = stand.json("status")["counters"]["registers_total"].as_f64();
    assert_eq!(Some(stand.metric("portkeeper_registers_total")), registers);
}

#[test]
fn every_metric_stands_in_the_manual() {
    let manual = include_str!("../../docs/OPERATING.md");
    let pbx = pbx(&["6001"]);
    let stand = Wish { extensions: "\"6001\"", ..Wish::at(pbx.address) }.start();
    let (_, page) = stand.page("/metrics");
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    for line in names {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let ending = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        assert!(manual.contains(&format!("`{name}{ending}")), "no word of {name}{ending}");
    }
}

#[test]
fn a_node_is_ready_when_a_port_is_registered_and_an_instance_is_healthy() {
    let pbx = pbx(&["6001", "6002"]);
    let stand = Wish::at(pbx.address).start();
    stand.registered(2);
    let (status, reasons) = stand.page("/readyz");
    assert_eq!((status, reasons.as_str()), (503, "no instance is connected\n"));
    let instance = stand.instance();
    assert_eq!(stand.page("/readyz"), (200, "ready\n".to_owned()));
    assert_eq!(stand.page("/livez"), (200, "alive\n".to_owned()));
    drop(instance);
    eventually("not ready again", || (stand.page("/readyz").0 == 503).then_some(()));
    assert_eq!(stand.page("/livez").0, 200, "a node without instances lives");
    assert_eq!(stand.page("/nothing").0, 404);
}
