//! The node: owns every control-plane machine of the process, and is the only place where one
//! machine's output becomes another's input.

mod order;
pub mod snapshot;

pub use order::Order;
pub use snapshot::Snapshot;
