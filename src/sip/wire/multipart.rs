//! Finds one part of a multipart body (RFC 2046 section 5.1): PBXs wrap SDP together with QSIG or
//! ISUP.

use bytes::Bytes;
use memchr::memmem;

use super::{MediaType, Text};

/// Parts that are looked at.
const PARTS_MAX: usize = 16;

/// The content of the first part of type `essence`.
pub(crate) fn part(body: &Bytes, boundary: &str, essence: &str) -> Option<Bytes> {
    if boundary.is_empty() {
        return None;
    }
    let delimiter = format!("--{boundary}");
    // The first delimiter may stand at the very start; each later one ends the part before it.
    let first = memmem::find(body, delimiter.as_bytes())?;
    let mut rest = body.slice(first + delimiter.len()..);
    let ending = format!("\r\n{delimiter}");
    for _ in 0..PARTS_MAX {
        if rest.starts_with(b"--") {
            return None;
        }
        let end = memmem::find(&rest, ending.as_bytes())?;
        if let Some(content) = content(&rest.slice(..end), essence) {
            return Some(content);
        }
        rest = rest.slice(end + ending.len()..);
    }
    None
}

/// What follows the header of a part, if the part is of the wanted type.
fn content(part: &Bytes, essence: &str) -> Option<Bytes> {
    let head_end = memmem::find(part, b"\r\n\r\n")?;
    let head = Text::from_wire(part.slice(..head_end));
    let is_wanted = head.as_str().lines().any(|line| {
        let field =
            line.split_once(':').filter(|(n, _)| n.trim().eq_ignore_ascii_case("content-type"));
        field.and_then(|(_, v)| MediaType::parse(v).ok()).is_some_and(|t| t.essence == essence)
    });
    is_wanted.then(|| part.slice(head_end + 4..))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"preamble\r\n--b\r\nContent-Type: application/QSIG\r\n\r\n\x00\x01\r\n\
        --b\r\ncontent-type : application/sdp;charset=x\r\n\r\nv=0\r\n\r\n--b--\r\n";

    #[test]
    fn the_wanted_part_is_cut_out_to_the_byte() {
        let body = Bytes::from_static(BODY);
        assert_eq!(part(&body, "b", "application/sdp").as_deref(), Some(&b"v=0\r\n"[..]));
        assert_eq!(part(&body, "b", "text/plain"), None);
        assert_eq!(part(&body, "", "application/sdp"), None);
    }
}
