//! Request methods (RFC 3261 section 7.1). Case matters: `invite` is an extension method.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! methods {
    ($($variant:ident = $name:literal,)*) => {
        /// The method of a request.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Method {
            $(#[doc = $name] $variant,)*
            /// Any other token, kept so that it can be refused with 405 or 501.
            Extension(String),
        }

        impl Method {
            /// Every method with a name of its own.
            pub const KNOWN: &[Method] = &[$(Method::$variant,)*];

            /// The method that a token names.
            pub fn from_token(token: &str) -> Self {
                match token {
                    $($name => Self::$variant,)*
                    other => Self::Extension(other.to_owned()),
                }
            }

            /// As on the wire.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Extension(name) => name,
                }
            }
        }
    };
}

methods! {
    Invite = "INVITE",
    Ack = "ACK",
    Bye = "BYE",
    Cancel = "CANCEL",
    Options = "OPTIONS",
    Register = "REGISTER",
    Info = "INFO",
    Update = "UPDATE",
    Prack = "PRACK",
    Refer = "REFER",
    Notify = "NOTIFY",
    Subscribe = "SUBSCRIBE",
    Message = "MESSAGE",
    Publish = "PUBLISH",
}

impl Method {
    /// Whether requests of this method open a dialog, so that Record-Route is copied into the
    /// answer (RFC 3261 section 12.1.1, RFC 6665, RFC 3515).
    pub fn opens_dialog(&self) -> bool {
        matches!(self, Self::Invite | Self::Subscribe | Self::Refer | Self::Notify)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
