//! What an operation is, and how a request finds its own in the table.

use super::super::fault::Fault;
use super::super::http::not_found;
use super::Errors;
use super::table::ROUTES;
use super::wrong_method;

/// One operation.
#[derive(Debug)]
pub(in super::super) struct Route {
    pub method: &'static str,
    /// Below `/ari`; `{name}` stands for one segment.
    pub path: &'static str,
    /// What client libraries call the operation.
    pub nickname: &'static str,
    pub summary: &'static str,
    /// Model of the answer.
    pub returns: &'static str,
    pub params: &'static [Param],
    pub errors: Errors,
    pub op: Op,
}

/// A group of operations: one description file.
#[derive(Debug)]
pub(in super::super) struct Resource {
    pub name: &'static str,
    pub about: &'static str,
}

/// A parameter that is not in the path.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Param {
    pub name: &'static str,
    pub kind: &'static str,
    pub place: Place,
    pub required: bool,
    pub many: bool,
    pub about: &'static str,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Place {
    Query,
    Body,
}

/// What a route does.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Op {
    Listing,
    Description,
    Socket,
    UserEvent,
    Originate,
    Channel(ChannelOp),
    Playback(PlaybackOp),
    Recording(RecordingOp),
    Application(ApplicationOp),
    Asterisk(AsteriskOp),
    /// A list of things that this gateway has none of.
    Nothing,
    NoBridge,
    NoEndpoint,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum ChannelOp {
    List,
    Get,
    Hangup,
    Answer,
    Ring(bool),
    Moh(bool),
    Silence(bool),
    Hold(bool),
    Mute(bool),
    Play,
    Record,
    GetVariable,
    SetVariable,
    Dtmf,
    Continue,
    Redirect,
    Move,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum PlaybackOp {
    Get,
    Stop,
    Control,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum RecordingOp {
    ListStored,
    GetStored,
    GetLive,
    Stop,
    Cancel,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum ApplicationOp {
    List,
    Get,
    Subscribe,
}

#[derive(Clone, Copy, Debug)]
pub(in super::super) enum AsteriskOp {
    Info,
    Ping,
    GetGlobal,
    SetGlobal,
}

impl Route {
    /// The resource whose description names the route; the descriptions themselves have none.
    pub(in super::super) fn resource(&self) -> &'static str {
        self.path.split('/').nth(1).unwrap_or("")
    }

    /// The placeholders' values, if the path fits.
    fn fit<'s>(&self, segments: &'s [String]) -> Option<Vec<&'s str>> {
        let mut args = Vec::new();
        let mut given = segments.iter();
        for part in self.path.split('/').skip(1) {
            let segment = given.next()?.as_str();
            if placeholder(part).is_some() && !segment.is_empty() {
                args.push(segment);
            } else if part != segment {
                return None;
            }
        }
        given.next().is_none().then_some(args)
    }
}

/// The name in `{name}`.
pub(in super::super) fn placeholder(part: &'static str) -> Option<&'static str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

/// The route of a request, and what its placeholders stand for.
///
/// # Errors
///
/// 404 if no route has the path, 405 if those that have it want another method.
pub(in super::super) fn find<'s>(
    method: &str,
    segments: &'s [String],
) -> Result<(&'static Route, Vec<&'s str>), Fault> {
    let mut allowed = Vec::new();
    for route in ROUTES {
        let Some(args) = route.fit(segments) else { continue };
        if route.method == method {
            return Ok((route, args));
        }
        if !allowed.contains(&route.method) {
            allowed.push(route.method);
        }
    }
    Err(if allowed.is_empty() { not_found() } else { wrong_method(&allowed) })
}

#[cfg(test)]
mod tests {
    use super::super::table::RESOURCES;
    use super::*;

    fn segments(path: &str) -> Vec<String> {
        path.split('/').map(str::to_owned).collect()
    }

    #[test]
    fn a_placeholder_stands_for_one_segment_that_is_not_empty() {
        let path = segments("channels/c.1/play/p1");
        let (route, args) = find("POST", &path).expect("a route");
        assert_eq!((route.nickname, args), ("playWithId", vec!["c.1", "p1"]));
        for path in ["channels/", "channels//play", "channels/x/play/y/z", "", "nothing"] {
            assert_eq!(find("GET", &segments(path)).expect_err("none").status, 404, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_names_the_right_ones() {
        let fault = find("PUT", &segments("channels/x")).expect_err("none");
        assert_eq!(fault.status, 405);
        assert_eq!(fault.header, Some(("Allow", "GET, POST, DELETE".into())));
    }

    #[test]
    fn every_route_belongs_to_a_described_resource() {
        for route in ROUTES.iter().filter(|r| r.resource() != "api-docs") {
            assert!(RESOURCES.iter().any(|r| r.name == route.resource()), "{}", route.path);
            assert!(!route.nickname.is_empty() && !route.summary.is_empty(), "{}", route.path);
        }
    }
}
