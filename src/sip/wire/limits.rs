//! How much of a message is read before it is refused (numbers chosen far above what a PBX sends,
//! far below what would hurt).

/// Largest datagram that is parsed, in bytes.
pub const DATAGRAM_MAX: usize = 8 * 1024;
/// Largest message on a stream, in bytes, body included.
pub const STREAM_MESSAGE_MAX: usize = 64 * 1024;
/// Header lines in a message.
pub const HEADERS_MAX: usize = 128;
/// Bytes of one header field, name and folded lines included; also of the start line.
pub const HEADER_MAX: usize = 4 * 1024;
/// Via hops of a message, over all its lines.
pub const VIAS_MAX: usize = 16;
/// Parameters behind one value, or in one URI.
pub const PARAMS_MAX: usize = 64;
/// Elements of one list field (Contact, Route, Supported, ...), over all its lines.
pub const LIST_MAX: usize = 128;
