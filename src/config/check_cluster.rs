//! Checks of `[cluster]`, its nodes and `[control]` against each other.

use std::path::Path;

use super::reader::Reader;
use super::self_call::check_self_calls;
use super::{
    Cluster, ClusterProfile, Config, Member, MemberRole, Promotion, SipPorts, Takeover, Transport,
};

/// Checks the cluster as a whole. `fault_of` tells what is wrong with a file.
pub(super) fn check_cluster(
    reader: &mut Reader<'_>,
    config: &Config,
    fault_of: &dyn Fn(&Path) -> Option<String>,
) {
    let cluster = &config.cluster;
    if cluster.profile == ClusterProfile::Single {
        return check_single(reader, cluster);
    }
    check_count(reader, cluster);
    check_unique(reader, &cluster.nodes);
    check_loopback(reader, cluster);
    check_pbx(reader, config);
    check_promotion(reader, cluster);
    check_takeover(reader, config);
    check_no_address(reader, config);
    check_credentials(reader, cluster, fault_of);
    check_control(reader, config);
    check_self_calls(reader, config);
}

fn check_single(reader: &mut Reader<'_>, cluster: &Cluster) {
    if reader.written("cluster.nodes[0]") {
        let text = "names other nodes, and cluster.profile is \"single\": write profile = \
                    \"pair\" or \"trio\", or take them out";
        reader.error("cluster.nodes", text);
    }
    let takes_over = cluster.takeover != Takeover::Reinvite;
    for (key, wrong) in [("cluster.takeover", takes_over), ("cluster.address", true)] {
        if wrong && reader.written(key) {
            let text = "says how calls reach another node, and cluster.profile is \"single\": \
                        write profile = \"pair\" or \"trio\", or take it out";
            reader.error(key, text);
        }
    }
}

fn check_count(reader: &mut Reader<'_>, cluster: &Cluster) {
    let count = |role| cluster.nodes.iter().filter(|member| member.role == role).count();
    let (data, witnesses) = (count(MemberRole::Data), count(MemberRole::Witness));
    if cluster.nodes.is_empty() {
        // Said already, at node.name.
        return;
    }
    if data != 2 {
        let profile = cluster.profile.name();
        let text = format!(
            "has {data} nodes with role \"data\", profile \"{profile}\" has two: write \
             [[cluster.nodes]] for each"
        );
        reader.error("cluster.nodes", text);
    }
    match (cluster.profile, witnesses) {
        (ClusterProfile::Pair, 1..) => reader.error(
            "cluster.profile",
            "has no witness, and a node has role = \"witness\": write \"trio\", or take it out",
        ),
        (ClusterProfile::Trio, 0) => reader.error(
            "cluster.profile",
            "needs a witness: write [[cluster.nodes]] with role = \"witness\" for it, on a third \
             machine, or \"pair\"",
        ),
        (ClusterProfile::Trio, 2..) => {
            reader
                .error("cluster.nodes", "has more than one witness: one votes, take the rest out");
        }
        _ => {}
    }
}

fn check_unique(reader: &mut Reader<'_>, nodes: &[Member]) {
    for (n, member) in nodes.iter().enumerate() {
        let before = &nodes[..n];
        let same_name = before.iter().find(|other| other.name == member.name);
        if let Some(other) = same_name.filter(|other| !other.name.is_empty()) {
            let text =
                format!("is the name of cluster.nodes[{}] too: each has its own", other.id.0);
            reader.error(&format!("cluster.nodes[{n}].name"), text);
        }
        let same_link = before.iter().find(|other| other.link == member.link);
        if let Some(other) = same_link.filter(|other| other.link.is_some()) {
            let text = format!("is where \"{}\" listens too: each has its own", other.name);
            reader.error(&format!("cluster.nodes[{n}].link"), text);
        }
    }
}

fn check_loopback(reader: &mut Reader<'_>, cluster: &Cluster) {
    let is = |loopback: bool| {
        let links = cluster.nodes.iter().filter_map(|member| member.link);
        links.clone().any(|link| link.ip().is_loopback() == loopback)
    };
    if !(is(true) && is(false)) {
        return;
    }
    for (n, member) in cluster.nodes.iter().enumerate() {
        if member.link.is_some_and(|link| link.ip().is_loopback()) {
            let text = "is of one machine only, and other nodes are elsewhere: write the address \
                        of the network card";
            reader.error(&format!("cluster.nodes[{n}].link"), text);
        }
    }
}

fn check_pbx(reader: &mut Reader<'_>, config: &Config) {
    let Some(me) = config.cluster.member(config.cluster.me) else { return };
    if me.pbx != config.pbx.id {
        let text = format!("is not pbx.id (\"{}\"): they name the same PBX", config.pbx.id);
        reader.error(&format!("cluster.nodes[{}].pbx", me.id.0), text);
    }
}

fn check_promotion(reader: &mut Reader<'_>, cluster: &Cluster) {
    let pbx = |member: &Member| member.pbx.clone();
    let one_pbx = cluster.nodes.windows(2).all(|pair| pbx(&pair[0]) == pbx(&pair[1]));
    let by_itself = cluster.promotion != Promotion::Manual;
    if cluster.profile != ClusterProfile::Pair || !by_itself {
        return;
    }
    if cluster.takeover == Takeover::DualDevices {
        let text = "has no effect with cluster.takeover = \"dual_devices\": each node serves its \
                    own extensions all the time, and nobody is promoted; take it out";
        reader.warning("cluster.promotion", text);
    } else if one_pbx {
        reader.warning(
            "cluster.promotion",
            "without a witness nobody can tell a dead primary from a cut link: the backup promotes \
             itself only after an orderly stop of the primary; otherwise it waits for \
             `portkeeper promote`",
        );
    }
}

fn check_takeover(reader: &mut Reader<'_>, config: &Config) {
    let text = match config.cluster.takeover {
        Takeover::Reinvite => {
            if config.pbx.profile == "cucm" {
                let text = "CUCM binds a device to its Contact address and may refuse a re-INVITE \
                            from another one: live calls may end with a promotion, new ones are \
                            taken; \"shared_address\" is meant for it";
                reader.warning("cluster.takeover", text);
            }
            return;
        }
        Takeover::DualDevices if config.cluster.profile == ClusterProfile::Pair => return,
        Takeover::DualDevices => {
            "\"dual_devices\" is for two nodes that never take over from each other, and a witness \
             would have nothing to decide: write profile = \"pair\", or takeover = \"reinvite\""
        }
        Takeover::SharedAddress => return check_address(reader, config),
    };
    reader.error("cluster.takeover", text);
}

fn check_address(reader: &mut Reader<'_>, config: &Config) {
    if config.cluster.is_witness() {
        return;
    }
    if config.pbx.transport == Transport::Tcp {
        let text = "\"shared_address\" moves calls over UDP only, a TCP connection ends with the \
                    node that has it: write pbx.transport = \"udp\", or takeover = \"reinvite\"";
        reader.error("cluster.takeover", text);
    }
    if matches!(config.pbx.sip_ports, SipPorts::Shared { udp_port: 0 }) {
        let text = "is 0, which lets each node choose: with cluster.takeover = \
                    \"shared_address\" both have the same number, as 5060";
        reader.error("pbx.sip_udp_port", text);
    }
    let elsewhere = config.cluster.nodes.iter().any(|node| node.pbx != config.pbx.id);
    if elsewhere {
        let text = "\"shared_address\" is for nodes that serve one PBX, and [[cluster.nodes]] \
                    names several: write takeover = \"reinvite\"";
        reader.error("cluster.takeover", text);
    }
    let Some(service) = &config.cluster.address else {
        if !reader.written("cluster.address") {
            let text = "needs [cluster.address] with `address`, as \"10.0.0.5/24\", and \
                        `interface`, as \"eth0\": the address at which the PBX finds the ports";
            reader.error("cluster.takeover", text);
        }
        return;
    };
    let links = config.cluster.nodes.iter().filter_map(|node| node.link.map(|link| link.ip()));
    let mut own = links.chain([config.pbx.local_address, config.media.address]);
    if own.any(|address| address == service.address) {
        let text = "is an address that a node has all the time (pbx.local_address, media.address \
                    or a link): write one that no host has";
        reader.error("cluster.address.address", text);
    }
}

/// An address that nothing moves is a mistake in `takeover`.
fn check_no_address(reader: &mut Reader<'_>, config: &Config) {
    let moves = config.cluster.takeover == Takeover::SharedAddress;
    if reader.written("cluster.address") && !moves {
        let text = "has no effect: write takeover = \"shared_address\", or take it out";
        reader.error("cluster.address", text);
    }
}

fn check_credentials(
    reader: &mut Reader<'_>,
    cluster: &Cluster,
    fault_of: &dyn Fn(&Path) -> Option<String>,
) {
    let missing: Vec<_> = ["ca.pem", "node.pem", "node.key"]
        .into_iter()
        .filter(|file| fault_of(&cluster.credentials.join(file)).is_some())
        .collect();
    if !missing.is_empty() && reader.written("cluster.credentials") {
        let text = format!(
            "lacks {}: run `portkeeper cluster init` on the first node, `portkeeper cluster join` \
             on the others",
            missing.join(", ")
        );
        reader.warning("cluster.credentials", text);
    }
}

fn check_control(reader: &mut Reader<'_>, config: &Config) {
    let cluster = &config.cluster;
    let wanted = cluster.is_witness() || cluster.profile == ClusterProfile::Pair;
    if wanted && config.control.is_none() && !reader.written("control") {
        let text = "there is no [control]: nobody can promote by phone through this node";
        reader.warning("control", text);
    }
    if !wanted && config.control.is_none() && !reader.written("control") {
        let text = "there is no [control]: while this node is the backup it learns from OPTIONS \
                    alone whether it reaches the PBX, and nobody can promote by phone through it";
        reader.warning("control", text);
    }
}
