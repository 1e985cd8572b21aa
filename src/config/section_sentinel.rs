//! `[control.sentinel]`: the extension by which a node that is not heard is asked for through the
//! PBX.

use super::cluster::Sentinel;
use super::parse::Source;
use super::reader::{Reader, Section};
use super::section_ports::{read_extension_password, single_extension};
use super::values::text;
use super::{Cluster, ClusterProfile, Port, PortKind, Takeover};
use crate::ids::PortId;
use crate::redact::Redacted;

/// Reads it, if it is there, out of `[control]`: the section, and the port that goes behind
/// `ports` and that of the control extension. A witness never registers it and needs no password.
pub(super) fn read_sentinel<'t>(
    reader: &mut Reader<'t>,
    control: &mut Section<'t>,
    source: Source<'_>,
    cluster: &Cluster,
    ports: &[Port],
) -> Option<(Sentinel, Option<Port>)> {
    let mut section = control.section(reader, "sentinel");
    let there = reader.written("control.sentinel");
    let extension = section.optional(reader, "extension", single_extension);
    let auth_user = section.optional(reader, "auth_user", text);
    let registers = there && !cluster.is_witness();
    let wanted = |key: &str| reader.written(&format!("control.sentinel.{key}"));
    let password = registers || wanted("password") || wanted("password_file");
    let password = password.then(|| {
        let extension = extension.as_deref().unwrap_or_default();
        read_extension_password(reader, &mut section, source, extension)
    });
    section.finish(reader);
    if !there {
        return None;
    }
    check_cluster(reader, cluster);
    if extension.is_none() && !reader.written("control.sentinel.extension") {
        let text = "is missing: write the extension that only the primary registers, as \"6099\"";
        reader.error("control.sentinel.extension", text);
    }
    let extension = extension?;
    if ports.iter().any(|port| port.extension == extension) {
        let text = "is one of [[ports]] too: nobody else may answer for it";
        reader.error("control.sentinel.extension", text);
    }
    let port = registers.then(|| Port {
        id: PortId(u16::try_from(ports.len() + 1).unwrap_or(u16::MAX)),
        kind: PortKind::Sentinel,
        auth_user: auth_user.unwrap_or_else(|| extension.clone()),
        password: Redacted::new(password.unwrap_or_default()),
        applications: Vec::new(),
        outbound: false,
        extension: extension.clone(),
    });
    Some((Sentinel { extension, port: port.as_ref().map(|port| port.id) }, port))
}

fn check_cluster(reader: &mut Reader<'_>, cluster: &Cluster) {
    if cluster.profile == ClusterProfile::Single {
        let text = "asks whether another node lives, and cluster.profile is \"single\": write \
                    profile = \"pair\" or \"trio\", or take it out";
        reader.error("control.sentinel", text);
    } else if cluster.takeover == Takeover::DualDevices {
        let text = "tells who is primary, and with cluster.takeover = \"dual_devices\" both nodes \
                    serve: take it out";
        reader.error("control.sentinel", text);
    }
}
