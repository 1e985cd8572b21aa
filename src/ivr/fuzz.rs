//! Everything in this room that reads hostile bytes without a channel or a user, for a fuzzer.
//!
//! What needs both is reached with [`super::Ivr::handle_input`].

use super::http::Target;
use super::media_uri;
use super::params::Params;
use super::rest_over_ws::RestRequest;

/// Reads the bytes as a target, as a body of each kind, as a message and as a media URI.
pub fn request(data: &[u8]) {
    for kind in [None, Some("application/json"), Some("application/x-www-form-urlencoded")] {
        if let Ok(params) = Params::new(Vec::new(), kind, data) {
            let _ = params.channel_variables();
        }
    }
    let Ok(text) = str::from_utf8(data) else { return };
    let _ = (Target::parse(text), Target::parse_relative(text), media_uri::parse(text));
    if let Ok(request) = RestRequest::parse(text) {
        let _ = request.target();
    }
}
