//! One CDR for each call, whoever wrote about it.
//!
//! A primary that was cut off ends a call in its own log, and the node that took the call over ends
//! it in another one. Both facts stay; one of them is the call's CDR.

use std::collections::BTreeMap;

use super::{Body, Cdr, Epoch, Fact, FactId};
use crate::ids::CallId;

/// Orders what several nodes wrote about one call. Whoever took it over last saw its end.
fn rank(fact: &Fact, cdr: &Cdr) -> (u32, Epoch, u64, FactId) {
    (cdr.takeovers, fact.epoch, cdr.duration_ms, fact.id)
}

/// The CDR of each call among the facts, by call.
pub fn final_cdrs<'f>(facts: impl IntoIterator<Item = &'f Fact>) -> BTreeMap<CallId, &'f Fact> {
    let mut calls: BTreeMap<CallId, (_, &Fact)> = BTreeMap::new();
    for fact in facts {
        let Body::Cdr(cdr) = &fact.body else { continue };
        let rank = rank(fact, cdr);
        if calls.get(&cdr.call).is_none_or(|(best, _)| *best < rank) {
            calls.insert(cdr.call, (rank, fact));
        }
    }
    calls.into_iter().map(|(call, (_, fact))| (call, fact)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{NodeId, PortId};
    use crate::store::{Lane, Stream};

    fn cdr(node: u8, epoch: u64, takeovers: u32, duration_ms: u64) -> Fact {
        let lane = Lane { node: NodeId(node), boot: 1, stream: Stream::Calls };
        let cdr = Cdr {
            call: CallId(7),
            port: PortId(1),
            extension: "201".to_owned(),
            party: "300".to_owned().into(),
            outbound: false,
            began_unix_ms: 0,
            answered_ms: Some(1),
            duration_ms,
            cause: "normal".to_owned(),
            rebinds: 0,
            takeovers,
        };
        let id = FactId { lane, counter: 1 };
        Fact { id, epoch: Epoch(epoch), unix_ms: 0, body: Body::Cdr(cdr) }
    }

    #[test]
    fn two_cdrs_of_one_call_are_one_and_the_last_owner_wrote_it() {
        let (cut_off, recovered) = (cdr(0, 1, 0, 90_000), cdr(1, 2, 1, 80_000));
        for facts in [[&cut_off, &recovered], [&recovered, &cut_off]] {
            let calls = final_cdrs(facts);
            assert_eq!(calls.into_values().collect::<Vec<_>>(), [&recovered]);
        }
    }
}
