//! What goes wrong below the first frame, in words that name who must act.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};

/// Why a connection with the node called `peer` failed.
pub(super) fn explain(error: &io::Error, peer: &str) -> String {
    match tls(error) {
        Some(error) => explain_tls(error, peer),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            format!("{peer} closed the connection before it was safe: see its log")
        }
        None => error.to_string(),
    }
}

fn tls(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}

fn explain_tls(error: &Error, peer: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => explain_certificate(error, peer),
        Error::NoCertificatesPresented => {
            format!("{peer} shows no certificate: it is no node of this cluster")
        }
        Error::AlertReceived(alert) => explain_alert(*alert, peer),
        Error::InvalidMessage(_) | Error::PeerIncompatible(_) => {
            format!("{peer} does not speak TLS 1.3 here: something else listens or dials ({error})")
        }
        Error::NoApplicationProtocol => {
            format!("{peer} speaks TLS for another purpose: something else listens or dials")
        }
        other => other.to_string(),
    }
}

fn explain_certificate(error: &CertificateError, peer: &str) -> String {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => format!(
            "the certificate of {peer} has expired: whoever administers the cluster runs \
             `portkeeper cluster token` where it was made and `portkeeper cluster join` on {peer} \
             ({error})"
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "the certificate of {peer} is not valid yet: set the clock of this machine, or of the \
             one that made it ({error})"
        ),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
            "the certificate of {peer} was not made by this cluster's CA: {peer} was joined to \
             another cluster, or somebody is in between; run `portkeeper cluster join` there"
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!(
                "another node than {peer} listens there: correct its link in [[cluster.nodes]] \
                 ({error})"
            )
        }
        other => format!("the certificate of {peer} is refused: {other}"),
    }
}

fn explain_alert(alert: AlertDescription, peer: &str) -> String {
    match alert {
        AlertDescription::CertificateExpired => format!(
            "{peer} says that the certificate of this node has expired: run `portkeeper cluster \
             token` where it was made and `portkeeper cluster join` here"
        ),
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::DecryptError
        | AlertDescription::CertificateUnknown => format!(
            "{peer} does not accept the certificate of this node ({alert:?}): one of the two was \
             joined to another cluster, or the clock of {peer} is wrong"
        ),
        AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion => {
            format!("{peer} does not speak this link: upgrade both to one version")
        }
        other => format!("{peer} refuses the connection: {other:?}"),
    }
}
