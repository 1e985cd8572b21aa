//! What is made of what was gathered.

use super::*;

#[test]
fn the_json_has_the_keys_of_the_manual() {
    let options = Options { ports: 1, runs: 1, json: true };
    let report = Found::default().report(
        options,
        &PbxReport::default(),
        Digits::default(),
        "fifo".to_owned(),
        0.0,
    );
    let json = serde_json::to_value(&report).expect("JSON");
    for key in ["ports", "runs", "rtp_late_over_5ms", "calls_lost", "digits_lost"] {
        assert!(json[key].is_number(), "{key}: {json}");
    }
    for key in ["digits_doubled", "false_verdicts"] {
        assert!(json[key].is_number(), "{key}: {json}");
    }
    for fault in ["hang", "crash"] {
        for key in ["detect_ms", "decide_ms", "claim_ms", "total_ms"] {
            assert_eq!(json[fault][key]["n"], 0, "{fault} {key}: {json}");
        }
    }
    assert!(report.text().contains("false verdicts: 0"));
    assert!(report.nothing_lost());
    let spoiled = [
        Report { calls_lost: 1, ..report.clone() },
        Report { digits_lost: 1, ..report.clone() },
        Report { digits_doubled: 1, ..report.clone() },
        Report { false_verdicts: 1, ..report },
    ];
    assert!(spoiled.iter().all(|report| !report.nothing_lost()), "the command has to fail");
}

#[test]
fn late_packets_are_looked_for_in_each_window_of_each_line() {
    let at = |ms: u64| Instant::from_nanos(ms * 1_000_000);
    let mut arrivals: Vec<Instant> = (0..100).map(|n| at(1_000 + n * 20)).collect();
    (arrivals[10], arrivals[60]) = (at(1_208), at(2_211));
    let line = crate::stage::pbx::LineReport { arrivals, ..Default::default() };
    let pbx = PbxReport { lines: [(LineId(1), line)].into(), ..PbxReport::default() };
    assert_eq!(late(&pbx, &[at(1_100), at(2_200)]), [at(1_208), at(2_211)]);
    assert_eq!(late(&pbx, &[at(1_400)]), []);
    let report = |stalls| {
        let switched = vec![at(1_100), at(2_200)];
        let found = Found { switched, stalls, ..Found::default() };
        let options = Options { ports: 1, runs: 1, json: true };
        found.report(options, &pbx, Digits::default(), "fifo".to_owned(), 0.0)
    };
    let known = report(Some(vec![Stall { from: at(1_200), until: at(1_207) }]));
    assert_eq!((known.rtp_late_over_5ms, known.rtp_late), (2, [2, 0]));
    assert_eq!(known.rtp_late_without_stall, Some([1, 0]), "the machine explains the other");
    assert_eq!(known.floor_late_wakes, Some([1, 0]));
    let unknown = report(None);
    assert_eq!((unknown.rtp_late_without_stall, unknown.floor_late_wakes), (None, None));
    assert!(unknown.text().contains("stalls of the machine: unknown"), "{}", unknown.text());
}
